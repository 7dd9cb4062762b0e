# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbooks rely on, taken from the documentation and kept in released_api.json.

Options, return values and the filters' arguments, of every module, filter and role. ``make
released-api``, at a release, writes the file. A test compares it with what there is now: what is
gone or different needs a changelog fragment of the kind breaking_changes. New things never do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("released_api.json")
COLLECTION = "mailops.ses"
#: Sections of a changelog fragment in which somebody who upgrades looks for what breaks.
BREAKING = ("breaking_changes", "removed_features")

#: What is promised about one option or return value; see _promise().
Promise = dict[str, t.Any]
#: By plugin, as "module postfix_relay", and by what it has, as "option region.suboption".
Api = dict[str, dict[str, Promise]]


def of_collection(collections: Path) -> Api:
    """The present interface of the collection in ``collections``, as ansible-doc has it."""
    command = ["ansible-doc", "--metadata-dump", COLLECTION]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    dump = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    documented = json.loads(dump)["all"]
    for full_name, content in documented["role"].items():
        role = collections / "ansible_collections/mailops/ses/roles" / full_name.split(".")[-1]
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text("utf-8"))
        # Its specification can't have most of them, see test_role_variables.py.
        for name, option in content["entry_points"]["main"]["options"].items():
            option.setdefault("default", defaults.get(name))
    return of_documentation(documented)


def of_documentation(documented: dict[str, t.Any]) -> Api:
    """The interface in a dump of ansible-doc."""
    api: Api = {}
    for kind in ("filter", "module", "role"):
        for full_name, content in documented[kind].items():
            name = f"{kind} {full_name[len(COLLECTION) + 1 :]}"
            if kind == "role":
                for entry_point, spec in content["entry_points"].items():
                    api[f"{name} {entry_point}"] = _promises("option", spec["options"], "options")
                continue
            doc = content["doc"]
            found = _promises("option", doc.get("options") or {}, "suboptions")
            found.update(_promises("return value", content["return"] or {}, "contains"))
            for number, argument in enumerate(doc.get("positional", "").replace(",", " ").split()):
                found[f"option {argument}"]["position"] = number
            api[name] = found
    return api


def _promises(what: str, specs: dict[str, t.Any], nested: str) -> dict[str, Promise]:
    found = {}
    for name, spec in specs.items():
        found[f"{what} {name}"] = _promise(what, spec)
        inner = spec.get(nested) or {}
        found.update(
            (f"{what} {name}.{key.partition(f'{what} ')[2]}", promise)
            for key, promise in _promises(what, inner, nested).items()
        )
    return found


def _promise(what: str, spec: dict[str, t.Any]) -> Promise:
    promise: Promise = {key: spec[key] for key in ("type", "elements") if key in spec}
    if what == "option":
        promise.update((key, spec[key]) for key in ("default",) if spec.get(key) is not None)
        promise.update((key, sorted(spec[key])) for key in ("aliases", "choices") if spec.get(key))
        promise["required"] = bool(spec.get("required"))
    return promise


def breaks(released: Api, now: Api) -> list[str]:
    """What playbooks that were written for ``released`` would stumble over in ``now``."""
    found = []
    for plugin, promises in released.items():
        present = now.get(plugin)
        if present is None:
            found.append(f"{plugin} is gone")
            continue
        for name, promise in promises.items():
            if name in present:
                found += [f"{plugin}: {name}{said}" for said in _broken(promise, present[name])]
            else:
                found.append(f"{plugin}: {name} is gone")
        for name in present.keys() - promises.keys():
            # A new suboption may be required if the option is new too.
            parent = name.rpartition(".")[0]
            if present[name].get("required") and (not parent or parent in promises):
                found.append(f"{plugin}: {name} is new and required")
    return sorted(found)


def _broken(released: Promise, now: Promise) -> t.Iterator[str]:
    for key in ("type", "elements", "default", "position"):
        if released.get(key) != now.get(key) and (key in released or key == "default"):
            yield f": its {key} was {released.get(key)}, is {now.get(key)}"
    for key in ("aliases", "choices"):
        gone = [value for value in released.get(key, []) if value not in now.get(key, [])]
        # No choices at all is any value.
        if gone and (key == "aliases" or now.get(key)):
            yield f": of its {key} {', '.join(map(str, gone))} is gone"
    if now.get("required") and not released["required"]:
        yield " is now required"
    if now.get("choices") and not released.get("choices"):
        yield ": it took any value"


def undeclared(broken: t.Iterable[str], fragments: t.Iterable[Path]) -> list[str]:
    """Those of ``broken`` whose plugin no entry for breaking changes in ``fragments`` names."""
    entries = []
    for path in fragments:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries += [entry for section in BREAKING for entry in content.get(section, [])]
    text = "\n".join(entries)
    return [said for said in broken if not re.search(rf"\b{said.split(':')[0].split()[1]}\b", text)]


if __name__ == "__main__":
    # In a staged copy, of which this file is part; where to write is an argument.
    text = json.dumps(of_collection(Path(__file__).parents[5]), indent=1, sort_keys=True)
    Path(sys.argv[1]).write_text(f"{text}\n", encoding="utf-8")

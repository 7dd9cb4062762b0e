# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Set-ups of Postfix as people have them, and what must happen when a relay is set up there.

``cases.yml`` has set-ups from the field, ``set_ups/known.yml`` what must happen to them; the other
files of ``set_ups`` have more set-ups of the same kinds, with what must happen beside them. What
must happen is what the administrator of such a Postfix expects, and not what the code does.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

_HERE = Path(__file__).parent
_SETTING = re.compile(r"^([\w-]+)\s*=", re.MULTILINE)
_TABLE = re.compile(r"\b(hash|btree|cdb|lmdb):ETC/([\w.-]+)")

#: The relay as AWS's page has it, but with TLS as it should be.
BY_HAND = """\
relayhost = [email-smtp.eu-west-1.amazonaws.com]:587
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = hash:ETC/by_hand
smtp_tls_security_level = secure
smtp_tls_CAfile = SES_CA
"""
LOGIN_BY_HAND = "[email-smtp.eu-west-1.amazonaws.com]:587 AKIAIOSFODNN7EXAMPLE:PASSWORD\n"


@dataclass(frozen=True)
class Flow:
    """Mail of a sender to a recipient, or to anybody @domain, and where it goes.

    ``before`` is without the relay, ``after`` with it; see SetUpHost.deliver().
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    to: str = "@example.net"
    sender: str = "sender@sender.example"
    by_smtp: bool = False


@dataclass(frozen=True)
class SetUp:
    """What a host has: ``main_cf``, ``master_cf`` and ``files`` are added to a Postfix that relays
    nothing, whose services in ``without`` are taken away. Of ``compiled_only`` there is no source.
    """

    main_cf: str = ""
    master_cf: str = ""
    files: t.Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    compiled_only: tuple[str, ...] = ()

    def tables(self) -> list[tuple[str, str]]:
        """The type and source of each table that has to be compiled."""
        text = self.main_cf + self.master_cf
        found = {name: table for table, name in _TABLE.findall(text) if name in self.files}
        if "${default_database_type}" in text:
            found.update(dict.fromkeys(self.files.keys() - found.keys(), "hash"))
        return [(table, name) for name, table in found.items()]

    def with_relay_by_hand(self) -> SetUp:
        """The same with a relay that somebody has set up by hand, above all else in main.cf."""
        files = {**self.files, "by_hand": LOGIN_BY_HAND}
        main_cf = lines_without(BY_HAND, self.main_cf) + self.main_cf
        return replace(self, main_cf=main_cf, files=files)

    def fits(self, other: SetUp) -> bool:
        """Whether no setting, service or file of the two is the same."""
        return all(
            mine.isdisjoint(theirs)
            for mine, theirs in zip(self._names(), other._names(), strict=True)
        )

    def _names(self) -> tuple[set[str], ...]:
        services = re.findall(r"^(?![\s#])\S+", self.master_cf, re.MULTILINE)
        return (
            set(_SETTING.findall(self.main_cf)),
            {*services, *self.without},
            {*self.files, *re.findall(r"ETC/([\w.-]+)", self.main_cf + self.master_cf)},
        )

    def and_also(self, other: SetUp) -> SetUp:
        """Both set-ups in one."""
        return SetUp(
            self.main_cf + other.main_cf,
            self.master_cf + other.master_cf,
            {**self.files, **other.files},
            self.without + other.without,
            self.compiled_only + other.compiled_only,
        )


def lines_without(main_cf: str, other: str) -> str:
    """The lines of ``main_cf`` but for settings that ``other`` has, too.

    For a setting that is there twice each process of Postfix logs a warning. postlogd(8) does so
    before it reads the socket, and waits for itself when that is full, with ten of them.
    """
    names = set(_SETTING.findall(other))
    return "".join(
        line
        for line in main_cf.splitlines(keepends=True)
        if not names.intersection(_SETTING.findall(line))
    )


@dataclass(frozen=True)
class Case:
    """A set-up and what must happen. ``is_refused`` says that the run must fail without a change.

    ``names`` are settings, one of which the error must name. ``finding`` is an ID, or part of a
    message, of ``postfix_relay_info``: of the relay if it is set up, of one by hand otherwise.
    ``is_broken`` says that mail then misses SES, or another flow breaks, which the test shows.
    ``needs_proof`` says that it may take Postfix itself to find out: not in check mode, and in its
    own words.
    """

    name: str
    set_up: SetUp
    flows: tuple[Flow, ...]
    is_refused: bool
    names: tuple[str, ...] = ()
    finding: str | None = None
    options: t.Mapping[str, t.Any] = field(default_factory=dict)
    added_later: str = ""
    is_broken: bool = True
    needs_proof: bool = False


def read_cases() -> dict[str, Case]:
    """Every case by its name."""
    known, more = _read("cases.yml"), _read("set_ups/known.yml")
    # "before" and "must" are words there.
    parts = ("main_cf", "master_cf", "files")
    entries = {
        name: {**{part: known[name][part] for part in parts if part in known[name]}, **expected}
        for name, expected in more.items()
    }
    for path in sorted((_HERE / "set_ups").glob("*.yml")):
        if path.name != "known.yml":
            entries.update(_read(f"set_ups/{path.name}"))
    return {name: _case(name, entry) for name, entry in entries.items()}


def _read(name: str) -> dict[str, dict[str, t.Any]]:
    entries: dict[str, dict[str, t.Any]] = yaml.safe_load((_HERE / name).read_text("utf-8"))
    return entries


def _case(name: str, entry: dict[str, t.Any]) -> Case:
    is_refused = {"refused": True, "set_up": False}[entry["outcome"]]
    before = entry.get("before", "internet")
    sender = {"sender": entry["sender"]} if "sender" in entry else {}
    after = entry.get("after", before if is_refused else "ses")
    main = {"to": entry.get("to", "@example.net"), "before": before, "after": after}
    flows = [_flow({**main, **sender, "by_smtp": entry.get("by_smtp", False)})]
    set_up = SetUp(
        entry.get("main_cf", ""),
        entry.get("master_cf", ""),
        entry.get("files", {}),
        tuple(entry.get("without", ())),
        tuple(entry.get("compiled_only", ())),
    )
    return Case(
        name,
        set_up,
        (*flows, *(_flow(each) for each in entry.get("also", ()))),
        is_refused,
        tuple(entry.get("names", "").split()),
        entry.get("finding"),
        entry.get("options", {}),
        entry.get("added_later", ""),
        entry.get("is_broken", is_refused),
        entry.get("needs_proof", False),
    )


def _flow(entry: dict[str, t.Any]) -> Flow:
    before = tuple(entry["before"].split(" > "))
    after = tuple(entry["after"].split(" > ")) if "after" in entry else before
    more = {name: value for name, value in entry.items() if name not in ("before", "after")}
    return Flow(before, after, **more)

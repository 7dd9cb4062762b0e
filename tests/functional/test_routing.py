# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of where mail goes says what a running Postfix answers, for random configurations."""

from __future__ import annotations

import os
import random
import re
import signal
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.plugins.module_utils._postfix._asking import ask_tables
from ansible_collections.mailops.ses.plugins.module_utils._postfix._configuration import (
    Configuration,
    read_configuration,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._postfix._routing import (
    Route,
    find_route,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._services import (
    ProbeError,
    resolve,
    rewrite,
)
from ansible_collections.mailops.ses.tests.support.postfix.real_programs import RealPrograms
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import (
    MASTER_CF,
    ScratchPostfix,
    table_types,
)
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

SEED = 20261127
OUT1 = "out1 unix - - n - - smtp -o smtp_tls_security_level=may\n"
REWRITE = "rewrite unix - - n - - trivial-rewrite"
CASES: dict[str, dict[str, t.Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "postfix" / "cases.yml").read_text("utf-8")
)
CONFIGURATIONS = 50
PAIRS = 16

DOMAINS = ("a.example", "sub.a.example", "deep.sub.a.example", "b.example", "c.test", "B.Example")
LOCAL_PARTS = ("me", "you", "me+x", "you-y", "Me", "owner-list", "postmaster+x", "list-request")
SERVERS = ("[ses.example]:587", "relay.example", "[127.0.0.9]:2525", "[a.example] [b.example]:25")
TRANSPORTS = ("smtp", "relay", "out1", "error", "retry", "discard", "virtual", "no-such")


class Making:
    """Makes random configurations. Equal seeds make equal ones."""

    def __init__(self, etc: Path, types: t.Sequence[str]) -> None:
        self._random = random.Random(SEED)
        self._etc = etc
        self._types = [each for each in types if each != "texthash"]
        self._files = 0
        self.sources: list[str] = []

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one(self, choices: t.Sequence[str]) -> str:
        return self._random.choice(choices)

    def address(self) -> str:
        if self.chance(0.06):
            return self.one(("", "me", "you+x", "me@[127.0.0.1]", "me@[192.0.2.1]"))
        return f"{self.one(LOCAL_PARTS)}@{self.one(DOMAINS)}"

    def server(self) -> str:
        return self.one(SERVERS)

    def transport(self, *, of_map: bool) -> str:
        """A value of transport_maps, or one of a transport setting."""
        name = self.one(TRANSPORTS)
        nexthop = "5.0.0 no mail today" if name in ("error", "retry") else self.server()
        forms = [name, f"{name}:", f"{name}:{nexthop}", f"{name}:{nexthop}"]
        if of_map:
            forms += [":", f":{self.server()}"]
        return self.one(forms)

    def domain_key(self) -> str:
        return self.one((*DOMAINS, ".a.example", ".example", "a", "example", "*")).lower()

    def table(self, keys: t.Callable[[], str], values: t.Callable[[], str], most: int = 5) -> str:
        """One table, or a list of two, with random entries."""
        pairs = [(keys(), values()) for _number in range(self._random.randint(1, most))]
        kind = self.one((*self._types, "texthash", "regexp", "inline", "static", "pair"))
        if kind == "pair":
            return ", ".join(self.table(keys, values, most) for _number in range(2))
        if kind == "static":
            return (
                f"static:{{{pairs[0][1]}}}" if self.chance(0.2) else self._file("texthash", pairs)
            )
        if kind == "inline":
            inside = ", ".join(f"{{{key} = {value}}}" for key, value in pairs)
            return f"inline:{{ {inside} }}"
        return self._file(kind, pairs)

    def _file(self, kind: str, pairs: t.Sequence[tuple[str, str]]) -> str:
        self._files += 1
        path = self._etc / f"table{self._files}"
        if kind == "regexp":
            lines = [f"/^{re.escape(key)}$/ {value}" for key, value in pairs if key != "*"]
            lines += ["/@.*c\\.test$/ smtp:[regexp.example]"] if self.chance(0.3) else []
        else:
            lines = [f"{key} {value}" for key, value in pairs]
        path.write_text("".join(f"{line}\n" for line in lines), "ascii")
        cool(path)
        name = f"{kind}:{path}"
        if kind in self._types:
            self.sources.append(name)
        return f"proxy:{name}" if self.chance(0.1) else name

    def settings(self) -> dict[str, str]:
        """Settings of main.cf, of which each is there or not."""
        maps: dict[str, t.Callable[[], str]] = {
            "transport_maps": lambda: self.table(
                lambda: self.address() if self.chance(0.3) else self.domain_key(),
                lambda: self.transport(of_map=True),
            ),
            "sender_dependent_relayhost_maps": lambda: self.table(
                self.sender_key, lambda: self.one((*SERVERS, "DUNNO", "dunno"))
            ),
            "sender_dependent_default_transport_maps": lambda: self.table(
                self.sender_key,
                lambda: self.transport(of_map=False) if self.chance(0.8) else "DUNNO",
            ),
            "relocated_maps": lambda: self.table(self.sender_key, lambda: "new@b.example", 2),
        }
        lists = (
            "mydestination",
            "relay_domains",
            "virtual_alias_domains",
            "virtual_mailbox_domains",
        )
        shares = {"relocated_maps": 0.1, "transport_maps": 0.6}
        found = {name: make() for name, make in maps.items() if self.chance(shares.get(name, 0.4))}
        found.update({name: self.domains() for name in lists if self.chance(0.3)})
        for name in (
            "default_transport",
            "relay_transport",
            "virtual_transport",
            "local_transport",
        ):
            if self.chance(0.25):
                found[name] = self.transport(of_map=False)
        optional = {
            "relayhost": SERVERS,
            "recipient_delimiter": ("+", "-", "+-"),
            "parent_domain_matches_subdomains": ("", "transport_maps, relay_domains"),
            "empty_address_relayhost_maps_lookup_key": ("me@a.example",),
            "empty_address_default_transport_maps_lookup_key": ("me@a.example",),
            "show_user_unknown_table_name": ("no",),
            "smtputf8_enable": ("yes",),
            "myorigin": ("b.example",),
        }
        found.update({name: self.one(each) for name, each in optional.items() if self.chance(0.3)})
        return found

    def master_cf(self) -> str:
        """Settings of trivial-rewrite's own, sometimes; the last of equal services counts."""
        own = {
            "relayhost": self.server(),
            "default_transport": self.transport(of_map=False),
            "mydestination": self.one(DOMAINS),
            "transport_maps": "",
        }
        lines = [
            f" {form.format(name, value)}"
            for name, value in own.items()
            for form in (self.one(("-o {{ {0} = {1} }}", "-o {{{0}={1}}}")),)
            if self.chance(0.2)
        ]
        return "\n".join([REWRITE, *lines, ""]).replace("{", "{{").replace("}", "}}")

    def sender_key(self) -> str:
        return (
            self.one(("me", "you+x", "@a.example", "@b.example", "<>", "@sub.a.example"))
            if self.chance(0.5)
            else self.address().lower() or "me"
        )

    def domains(self) -> str:
        """A list of domains."""
        parts = [self.domain_key() for _number in range(self._random.randint(1, 3))]
        parts = [part for part in parts if part != "*"]
        if self.chance(0.3):
            parts.insert(0, f"!{self.one(DOMAINS)}")
        if self.chance(0.3):
            parts.append(self.table(self.domain_key, lambda: "yes", 2))
        if self.chance(0.2):
            path = self._etc / f"list{self._files}"
            path.write_text("# domains\nc.test\n!b.example, a.example\n", "ascii")
            parts.append(self.one((str(path), f"!{path}")))
        return " ".join(parts)


def cool(path: Path) -> None:
    """Let a file look older: Postfix waits for one that was changed a moment ago."""
    then = time.time() - 10
    os.utime(path, (then, then))


def without_repeated(text: str, separator: str | None) -> str:
    """The last of the lines that begin with the same name, with those that continue it.

    master(8) warns of each other one, and waits for ever for a postlogd that it has to start itself
    if there are more than the socket takes.
    """
    last: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if not line[:1].isspace():
            name = " ".join(line.split(separator)[: 1 if separator else 2]).strip()
            last[name] = []
        last[name].append(f"{line}\n")
    return "".join(line for lines in last.values() for line in lines)


class Trial:
    """A running Postfix, whose configuration is replaced again and again."""

    def __init__(self, postfix: ScratchPostfix) -> None:
        self.postfix = postfix
        self.etc = postfix.config_directory
        self.programs = Postfix(RealPrograms(), str(self.etc))
        self._main_cf = (self.etc / "main.cf").read_text("utf-8")
        self._number = 0

    def configure(
        self, settings: t.Mapping[str, str], sources: t.Iterable[str] = (), master_cf: str = ""
    ) -> None:
        """Have these settings and services in force."""
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        self.replace(lines, f"{MASTER_CF}{OUT1}{master_cf}", sources)

    def replace(self, main_cf: str, master_cf: str, sources: t.Iterable[str] = ()) -> None:
        """Have the instance's own main.cf with these lines, and this master.cf, in force."""
        self._number += 1
        # It has no part in where mail goes, and says which configuration is in force.
        marker = f"marker-{self._number}.invalid"
        own = f"mydomain = {marker}\nappend_dot_mydomain = yes\n"
        services = master_cf.format(address=self.postfix.address, port=10025)
        for name, text in (
            ("main.cf", without_repeated(f"{self._main_cf}{main_cf}{own}", "=")),
            ("master.cf", without_repeated(services, None)),
        ):
            (self.etc / name).write_text(text, "utf-8")
            cool(self.etc / name)
        if sources:
            self.postfix.run("postmap", *sources)
        pid = self.postfix.pid
        assert pid is not None
        os.kill(pid, signal.SIGHUP)
        assert comes_true(lambda: self._knows(marker)), self.postfix.log()[-3000:]

    def _knows(self, marker: str) -> bool:
        try:
            return rewrite(self.queue, "me@x") == f"me@x.{marker}"
        except ProbeError:  # while it starts
            return False

    @property
    def queue(self) -> str:
        return str(self.postfix.directory / "queue")

    def read(self) -> Configuration:
        """The configuration as the model has it."""
        return read_configuration(self.programs, str(self.etc))

    def answer(self, sender: str, recipient: str) -> tuple[str, ...]:
        """What Postfix says: transport, next hop and recipient; nothing if it can't."""
        try:
            return tuple(resolve(self.queue, sender, recipient)[:3])
        except ProbeError:
            return ()

    def compare(self, configuration: Configuration, sender: str, recipient: str) -> Route:
        """The model's answer, which must be Postfix's."""
        _answered, route = find_route(configuration, ask_tables(self.programs), sender, recipient)
        assert not route.unknown
        ours = (route.transport, route.nexthop, route.recipient) if route.transport else ()
        theirs = self.answer(sender, recipient)
        if ours != theirs:
            main_cf = (self.etc / "main.cf").read_text("utf-8")
            pytest.fail(f"{sender} -> {recipient}: {ours} != {theirs}\n{route}\n{main_cf}")
        return route


@pytest.fixture(name="trial", scope="module")
def fixture_trial() -> t.Iterator[Trial]:
    with ScratchPostfix() as postfix:
        yield Trial(postfix)


def test_random_configurations(trial: Trial) -> None:
    making = Making(trial.etc, table_types())
    seen: dict[str, int] = {}
    compared = 0
    for _number in range(CONFIGURATIONS):
        making.sources.clear()
        trial.configure(making.settings(), making.sources, making.master_cf())
        configuration = trial.read()
        for _pair in range(PAIRS):
            route = trial.compare(configuration, making.address(), making.address())
            compared += 1
            seen[route.address_class.value] = seen.get(route.address_class.value, 0) + 1
            for by in (route.transport_by, route.nexthop_by):
                if by:
                    seen[by.setting] = seen.get(by.setting, 0) + 1
    print(f"\n{compared} routes compared: {seen}")
    # Each kind of decision occurs.
    assert {"local", "virtual alias", "virtual mailbox", "relay", "default"} <= set(seen)
    assert {"transport_maps", "relayhost", "relocated_maps"} <= set(seen)
    assert {
        "sender_dependent_default_transport_maps",
        "sender_dependent_relayhost_maps",
        "default_transport",
        "relay_transport",
    } <= set(seen)


@pytest.mark.parametrize("name", CASES)
def test_real_set_ups(trial: Trial, name: str) -> None:
    """Each case, and as the relay's settings leave it."""
    case = CASES[name]
    for file, text in case.get("files", {}).items():
        (trial.etc / file).write_text(text, "utf-8")
        cool(trial.etc / file)
        trial.postfix.run("postmap", f"hash:{trial.etc / file}")
    main_cf = case.get("main_cf", "").replace("ETC", str(trial.etc))
    master_cf = MASTER_CF + case.get("master_cf", "").replace("{", "{{").replace("}", "}}")
    for relayhost in ("", "relayhost = [email-smtp.eu-west-1.amazonaws.com]:587\n"):
        trial.replace(f"{main_cf}{relayhost}", master_cf)
        configuration = trial.read()
        for sender in ("", "me@example.com", "root@web1.internal"):
            for recipient in (
                "you@example.net",
                "you@internal.example",
                "you@relayed.example",
                "root",
            ):
                trial.compare(configuration, sender, recipient)


def test_what_becomes_of_the_services(trial: Trial) -> None:
    """Services that are missing or disabled, mail that waits, and settings of a service's own."""
    own = "smtp unix - - n - - smtp -osmtp_tls_security_level=$level -o relayhost=[no]\n"
    trial.configure(
        {"level": "secure", "defer_transports": "relay, out1", "relay_domains": "a.example"},
        master_cf=own,
    )
    configuration = trial.read()
    route = trial.compare(configuration, "me@b.example", "you@c.test")
    assert route.client
    assert (route.client.tls_level, route.nexthop, route.deferred) == ("secure", "c.test", None)
    relayed = trial.compare(configuration, "me@b.example", "you@a.example")
    assert relayed.deferred
    assert relayed.deferred.setting == "defer_transports"
    trial.configure({"default_transport": "no-such", "master_service_disable": "relay.unix"})
    configuration = trial.read()
    assert trial.compare(configuration, "", "you@c.test").service is None
    assert configuration.find_transport("relay") is None
    assert configuration.find_transport("discard") is not None
    assert [client.service for client in configuration.list_clients()] == ["smtp", "out1"]

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Postfix's programs in miniature, in this process, for unit tests on machines without Postfix.

They do with main.cf, master.cf and tables what the module_utils rely on, and what a test has made
them do instead. That the real ones do the same, the functional tests show. Runs on Python 3.7.
"""

from __future__ import annotations

import os
import pwd
import re
import time
import typing as t
from pathlib import Path

DEFAULTS = {
    "default_filter_nexthop": "",
    "double_bounce_sender": "double-bounce",
    "empty_address_default_transport_maps_lookup_key": "<>",
    "empty_address_recipient": "MAILER-DAEMON",
    "empty_address_relayhost_maps_lookup_key": "<>",
    "inet_interfaces": "all",
    "local_transport": "local:$myhostname",
    "mydestination": "$myhostname, localhost",
    "myhostname": "host.example",
    "myorigin": "$myhostname",
    "parent_domain_matches_subdomains": "relay_domains",
    "virtual_transport": "virtual",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "smtp_tls_protocols": ">=TLSv1",
    "smtp_tls_secure_cert_match": "nexthop, dot-nexthop",
    "smtp_tls_verify_cert_match": "hostname",
    "smtp_tls_mandatory_ciphers": "medium",
    "smtp_bind_address_enforce": "no",
    "smtp_sasl_auth_soft_bounce": "yes",
    "mail_version": "3.7.11",
    "mail_owner": pwd.getpwuid(os.geteuid()).pw_name,
    "daemon_directory": "/usr/lib/postfix/sbin",
    "lmtp_sasl_password_maps": "",
    "multi_instance_directories": "",
    "multi_instance_name": "",
    "smtp_fallback_relay": "",
    "queue_directory": "/no/such/queue",
    "process_id_directory": "pid",
    "canonical_maps": "",
    "recipient_canonical_maps": "",
    "virtual_alias_maps": "",
    "transport_maps": "",
    "sender_dependent_default_transport_maps": "",
    "smtp_enforce_tls": "no",
    "smtp_sasl_type": "cyrus",
    "smtp_tls_CApath": "",
    "smtp_tls_enforce_peername": "yes",
    "smtp_use_tls": "no",
    "tls_append_default_CA": "no",
    "default_database_type": "hash",
    "smtputf8_enable": "yes",
    "default_transport": "smtp",
    "relay_transport": "relay",
    "relayhost": "",
    "sender_dependent_relayhost_maps": "",
    "smtp_sasl_auth_enable": "no",
    "smtp_sasl_password_maps": "",
    "smtp_sasl_security_options": "noplaintext, noanonymous",
    "smtp_sasl_tls_security_options": "$smtp_sasl_security_options",
    "smtp_sasl_tls_verified_security_options": "$smtp_sasl_tls_security_options",
    "smtp_sender_dependent_authentication": "no",
    "smtp_tls_CAfile": "",
    "smtp_tls_policy_maps": "",
    "smtp_tls_security_level": "",
    "smtp_tls_wrappermode": "no",
}
#: What every Postfix has of its master.cf, for mail that leaves the host.
MASTER_CF = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
"""
#: The programs of master.cf's services.
CLIENTS = {"smtp/unix": "smtp", "relay/unix": "smtp", "discard/unix": "discard"}
SUFFIXES = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "texthash": ""}
OTHER_TYPES = ("inline", "ldap", "regexp", "static")

Answer = t.Tuple[int, bytes, bytes]  # noqa: UP006  # Python 3.7
_SETTING = re.compile(r"^(\w+)[ \t]*=((?:[^\n]*)(?:\n[ \t][^\n]*)*)\n?", re.MULTILINE)


def settings_of(text: str) -> dict[str, str]:
    """What a main.cf says, continuation lines joined, comments left out."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    found = _SETTING.finditer("\n".join(lines))
    return {match.group(1): " ".join(match.group(2).split()) for match in found}


class FakePostfix:
    """The programs, for the configuration in ``directory``; a test may look at and set all of it.

    ``calls`` has what was run, without the paths; ``fails`` is the answer instead of running a
    program, by its name and first argument, as in ``{"postfix reload": (1, b"", b"no")}``;
    ``before`` is called with each such name first. ``queue`` is what postqueue lists.
    """

    def __init__(self, directory: Path, main_cf: str = "", master_cf: str = MASTER_CF) -> None:
        self.directory = directory
        self.main_cf = directory / "main.cf"
        self.main_cf.write_text(main_cf, encoding="utf-8")
        (directory / "master.cf").write_text(master_cf, encoding="utf-8")
        self.running = True
        self.reloads = 0
        self.calls: list[str] = []
        self.fails: dict[str, Answer] = {}
        self.before: t.Callable[[str], None] = lambda _name: None
        self.missing = False
        self.queue = b""

    # What AnsibleModule has

    def get_bin_path(self, arg: str) -> str | None:
        """Where a program is, None if nowhere."""
        return None if self.missing else f"/usr/sbin/{arg}"

    def run_command(self, args: list[str], **kwargs: t.Any) -> Answer:
        """Run a program."""
        program = args[0].rpartition("/")[2]
        rest = args[1:]
        if program == "sh":  # for so many bytes of a program's output, and its exit status
            code, out, err = self.run_command(args[5:], **kwargs)
            return 0, (out + b"exit status %d\n" % code)[: int(args[3])], err
        config = self.directory
        while rest[:1] == ["-c"]:
            config, rest = Path(rest[1]), rest[2:]
        name = f"{program} {rest[0]}"
        self.calls.append(name)
        self.before(name)
        if name in self.fails:
            return self.fails[name]
        run: dict[str, t.Callable[[Path, list[str], bytes], Answer]] = {
            "master": lambda _config, _args, _data: (1 if self.running else 0, b"", b""),
            "postconf": self._postconf,
            "postfix": self._postfix,
            "postmap": self._postmap,
            "postqueue": lambda _config, _args, _data: (0, self.queue, b""),
        }
        data = kwargs.get("data", b"")
        assert not data or kwargs["binary_data"]  # or AnsibleModule adds a newline
        return run[program](config, rest, data)

    # The programs

    def _postfix(self, config: Path, args: list[str], _data: bytes) -> Answer:
        assert config == self.directory
        if args == ["reload"]:
            assert self.running
            self.reloads += 1
            return 0, b"", b"postfix/postfix-script: refreshing the Postfix mail system\n"
        if args[0] in ("start", "stop"):
            self.running = args == ["start"]
            return 0, b"", b""
        assert args == ["status"]
        return (0 if self.running else 1), b"", b""

    def _postconf(self, config: Path, args: list[str], _data: bytes) -> Answer:
        path = config / "main.cf"
        if args[0] == "-m":
            return 0, "\n".join([*SUFFIXES, *OTHER_TYPES]).encode(), b""
        if args[0] == "-M":
            program = CLIENTS.get(args[1])
            line = f"{args[1].replace('/', ' ')} - - n - - {program}\n"
            return 0, line.encode() if program else b"", b""
        if args[0] in ("-e", "-X"):
            path.write_text(self._edited(path.read_text("utf-8"), args), encoding="utf-8")
            return 0, b"", b""
        if not path.exists():
            return 1, b"", f"postconf: fatal: open {path}: No such file or directory".encode()
        # The real one would wait until it is older. A test makes its own main.cf just before.
        assert config == self.directory or path.stat().st_mtime < time.time() - 1
        explicit = settings_of(path.read_text("utf-8"))
        values = {**DEFAULTS, "config_directory": str(config), **explicit}
        if args[0] == "-n":
            names = args[1:] or sorted(explicit)
            lines = [f"{name} = {explicit[name]}" for name in names if name in explicit]
            return 0, "\n".join([*lines, ""]).encode(), b""
        if args[0] == "-o":
            name, _equals, value = args[1].partition("=")
            values[name] = value
            args = args[2:]
        if args[0] == "-hx":
            lines = [self._expanded(values[name], values) for name in args[1:]]
            return 0, "\n".join([*lines, ""]).encode(), b""
        assert args[0] == "-x"
        names = [name for name in args[1:] if name in values]
        lines = [f"{name} = {self._expanded(values[name], values)}" for name in names]
        return 0, "\n".join([*lines, ""]).encode(), b""

    def _edited(self, text: str, args: list[str]) -> str:
        for arg in args[1:]:
            name, _equals, value = arg.partition("=")
            pattern = re.compile(rf"^{name}[ \t]*=.*(?:\n[ \t].*)*\n?", re.MULTILINE)
            line = "" if args[0] == "-X" else f"{name} = {value}\n"
            text, found = pattern.subn(lambda _match, line=line: line, text)  # type: ignore[misc]
            text += "" if found else line
        return text

    def _expanded(self, value: str, values: t.Mapping[str, str]) -> str:
        while "$" in value:
            value = re.sub(r"\$(\w+)", lambda match: values.get(match.group(1), ""), value)
        return value

    def _postmap(self, _config: Path, args: list[str], data: bytes) -> Answer:
        kind, _colon, path = args[-1].partition(":")
        if kind not in SUFFIXES:
            return 1, b"", b"postmap: fatal: unsupported dictionary type: " + kind.encode()
        table = Path(path + SUFFIXES[kind])
        if len(args) == 1:
            table.write_bytes(Path(path).read_bytes())
            return 0, b"", b""
        if not table.exists():
            return 1, b"", b"postmap: fatal: open database: No such file or directory"
        lines = [line for line in table.read_bytes().split(b"\n") if line[:1] not in (b"", b"#")]
        pairs = [line.split(None, 1) for line in lines if len(line.split(None, 1)) == 2]
        if args[0] == "-s":
            return 0, b"".join(key.lower() + b"\t" + value + b"\n" for key, value in pairs), b""
        assert args[:2] == ["-q", "-"]
        found = {key.lower(): value for key, value in reversed(pairs)}
        keys = [key for key in data.split(b"\n") if key.lower() in found]
        out = b"".join(key + b"\t" + found[key.lower()] + b"\n" for key in keys)
        return 0 if keys else 1, out, b""


class FakeAttributes:
    """Stands in for FileAttributes: remembers what it was asked to do."""

    def __init__(self) -> None:
        self.wrong: set[str] = set()
        self.repaired: list[str] = []
        self.given: list[str] = []

    def refuse_open_mode(self, paths: t.Iterable[str], mail_owner: t.Callable[[], str]) -> None:
        """All modes are right."""

    def differ(self, path: str) -> bool:
        """Whether the test says so."""
        return path in self.wrong

    def repair(self, path: str) -> None:
        """Make it right."""
        self.repaired.append(path)
        self.wrong.discard(path)

    def give(self, _staged: str, target: str) -> None:
        """Nothing to give."""
        self.given.append(target)

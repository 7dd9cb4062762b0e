# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What comes from a host's files, made fit to be shown: in messages, diffs and results.

A file may hold a secret anywhere: people swap user name and password, reverse a line, forget the
type of a table, or write a login into relayhost. So this module looks for nothing that is secret.
It keeps what is known to be harmless by its form (servers, senders, domains, access key IDs, types
and paths of lookup tables, names of parameters, plain words), and replaces everything else.
"""

from __future__ import annotations

import re
import typing as t

__all__ = [
    "REDACTED",
    "ShownEntry",
    "is_harmless",
    "redact",
    "redact_entry",
    "redact_message",
    "redact_service_line",
]

#: What stands for everything that may be secret.
REDACTED = "REDACTED"

_LABEL = r"\w(?:[\w-]{0,61}\w)?"
_DOMAIN = rf"(?:{_LABEL}\.)+(?:[^\W\d_]{{2,24}}|[0-9]{{1,3}}|xn--[a-z0-9-]{{1,59}})\.?"
_PLAIN = r"(?:[A-Z]?[a-z]{1,30}|[A-Z]{1,5})(?:[-_][a-z]{1,30}){0,6}(?:[-_]?[0-9]{1,3})?"
_PORT = r"(?::(?:[0-9]{1,5}|smtps?|submissions?|urd))"
_IPV6 = r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
_BRACKETS = rf"\[(?:{_DOMAIN}|{_PLAIN}|(?:IPv6:)?{_IPV6})\]"
_ACCESS_KEY = r"A[A-Z0-9]{15,127}"
_PARAMETER = (
    r"\$(?:\{NAME\}|\(NAME\)|NAME)".replace(
        "NAME", r"(?:[a-z][a-z0-9]*_[a-z0-9_]+|relayhost|myhostname|mydomain|myorigin)"
    )
)  # fmt: skip
# An absolute path; the value of a parameter may be a part of it.
_PATH = rf"(?:/|{_PARAMETER}/)(?:[^\s,:;{{}}$\"']|{_PARAMETER})*"
_FOLDER = (
    r"/(?:bin|boot|data|dev|etc|export|home|lib\w*|media|mnt|nfs|opt|private|root|run|sbin|srv|tmp"
    r"|usr|var)(?:/[\w.@+~:-]*)*"
)
# Types of lookup tables whose entries are in files or in other servers, not in main.cf itself.
_FILE_TYPE = r"(?:btree|cdb|cidr|dbm|hash|lmdb|pcre|regexp|sdbm|texthash)"
_CLIENT_TYPE = r"(?:ldap|memcache|mongodb|mysql|nis|pgsql|sqlite)"

_bracketed = re.compile(rf"{_BRACKETS}{_PORT}?").fullmatch
_bracketed_inside = re.compile(_BRACKETS).search
_ends_bracketed = re.compile(rf".*?(@?{_BRACKETS}{_PORT}?)", re.DOTALL).fullmatch
_destination = re.compile(rf"(?:{_BRACKETS}|{_DOMAIN}){_PORT}?|{_IPV6}").fullmatch
_ses_endpoint = re.compile(
    rf"(?:{_LABEL}\.){{1,6}}(?:amazonaws\.(?:com(?:\.cn)?|eu)|api\.(?:aws|amazonwebservices\.eu)){_PORT}?",
    re.IGNORECASE,
).fullmatch
_name_with_port = re.compile(
    rf"{_PLAIN}(?::(?:25|465|587|2465|2525|2587|10025|smtps?|submissions?|urd))?"
).fullmatch
_plain = re.compile(_PLAIN).fullmatch
_address = re.compile(rf"(?:[\w.+=-]{{1,64}}@|@|\.)(?:{_DOMAIN}|localhost)").fullmatch
_access_key = re.compile(_ACCESS_KEY).fullmatch
_login_of_key = re.compile(rf"({_ACCESS_KEY}):.*", re.DOTALL).fullmatch
_mail_manager_name = re.compile(r"inp-[a-z0-9]{1,40}").fullmatch
_short = re.compile(r"\w{1,3}|\*").fullmatch
_number = re.compile(r"[0-9]{1,6}[smhdw]?").fullmatch
_parameter = re.compile(_PARAMETER).fullmatch
_short_parameter = re.compile(r"\$(?:[a-z]{1,30}|\{[a-z]{1,30}\}|\([a-z]{1,30}\))").fullmatch
_path = re.compile(rf"{_FOLDER}|{_PARAMETER}(?:/[\w.@+~:-]*)+").fullmatch
_table = re.compile(
    rf"(?:proxy:)?(?:(?:{_FILE_TYPE}|{_PARAMETER}|{_CLIENT_TYPE}):{_PATH}"
    rf"|{_CLIENT_TYPE}:{_PLAIN}|(?:environ|fail|internal):{_PLAIN}"
    rf"|socketmap:(?:unix:{_FOLDER}|inet:(?:{_BRACKETS}|{_DOMAIN}|{_PLAIN}){_PORT}:{_PLAIN})|tcp:(?:{_BRACKETS}|{_DOMAIN}|{_PLAIN}){_PORT})"
).fullmatch
_tables = re.compile(r"((?:proxy:)?(?:unionmap|pipemap):)?\{(.*)\}", re.DOTALL).fullmatch
_inline = re.compile(
    rf"((?:proxy:)?(?:static|inline|{_FILE_TYPE}|{_CLIENT_TYPE}):).*", re.DOTALL
).fullmatch
_transport = re.compile(
    r"(?:smtps?|lmtp|relay|local|virtual|error|discard|retry|uucp)(?:[-_][a-z]{1,20})?:"
    rf"(?:{_BRACKETS}|{_DOMAIN}){_PORT}?|(?:error|discard|retry):{_PLAIN}"
).fullmatch
_long_run = re.compile(r"[A-Za-z0-9+/]{40,}").search
# The words of a value: white space and commas are between them, but for those inside braces.
_words = re.compile(
    r"(?:[^\s,{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})+|[\s,]+|[{}]", re.DOTALL
).findall


# Lines of master.cf: a service with its columns, or an option of one.
_service_columns = re.compile(
    r"(?P<name>[\w.-]{1,50})(?:\s+(?:unix|inet|fifo|unix-dgram|pass))(?:\s+[-yn]){3}(?:\s+[-\d?]{1,8}){2}"
    r"\s+(?P<program>[\w-]{1,50})(?P<rest>.*)"
).fullmatch
_service_option = re.compile(
    r"\s*-o\s*(?P<brace>\{)?\s*(?P<name>[a-z]{2,20}(?:_[A-Za-z]{1,20}){1,8})\s*=\s*(?P<value>.*?)\s*(?(brace)\})\s*"
).fullmatch
# Of a service's own settings: TLS protocols, and a table with one TLS level.
_protocol = re.compile(
    r"[!<>=]{0,2}(?:TLSv1(?:\.[0-3])?|SSLv[23])|static:(?:secure|encrypt)"
).fullmatch

_USUAL_WORDS = """
    a an and are as at bad be broken by can cannot command configuration connect create daemon
    database denied dictionary directory does error exist exit failed fatal file for found group has
    in instance invalid is line lock mail main.cf master master.cf memory missing name no not of on
    open operation or out owner panic parameter permission postconf postfix postfix-script
    postfix/postfix-script postmap process queue read refreshing reload running service space started
    status stopped such syntax system table temporary terminated the to type undefined unknown
    unsupported user usage value warning with write
"""
_WORDS_OF_POSTFIX = frozenset(_USUAL_WORDS.split())


class ShownEntry(t.NamedTuple):
    """An entry of a password map without what may be secret; no user name if that may be."""

    key: str
    username: str | None


def redact(value: str) -> str:
    """The value of a setting, or a lookup table's name, with REDACTED for what may be secret.

    Servers, transports, tables, paths, access key IDs, parameters' names and plain words stay. What
    is harmless alone, such as a plain word, may be a part of a password beside something redacted,
    or beside a server in brackets; then it is redacted too.
    """
    words = _words(value)
    if "{" in words or "}" in words:
        return REDACTED
    shown = [_redact_word(word) for word in words]
    if shown != words:
        return "".join(
            now if now != word or _is_certain(word) else REDACTED for word, now in zip(words, shown)
        )
    if any(map(_bracketed_inside, words)):
        return "".join(REDACTED if _is_simple(word) else word for word in words)
    return value


def is_harmless(value: str) -> bool:
    """Whether nothing in a value, as redact() takes it, may be secret."""
    return redact(value) == value


def redact_message(line: str) -> str:
    """What a program of Postfix says, which may quote a file: its usual words stay."""
    shown: list[str] = []
    for word in line.split():
        bare = word.rstrip(",;:.")
        is_number = _number(bare) and shown[-1:] == ["line"]
        is_harmless_word = bare.lower() in _WORDS_OF_POSTFIX or _is_certain(bare) or is_number
        shown.append(word if is_harmless_word else REDACTED)
    return " ".join(shown)


def redact_service_line(line: str) -> str:
    """A line of master.cf, with REDACTED for what may be secret.

    The columns of a service stay, the names of settings, and of their values what redact() keeps.
    """
    service = _service_columns(line)
    if service:
        head = line[: service.start("rest")]
        rest = service.group("rest")
        is_plain = all(_plain(service.group(part)) for part in ("name", "program"))
        if is_plain and not rest.strip():
            return line.rstrip()
        return f"{head}{redact_service_line(rest)}" if is_plain else redact(line)
    option = _service_option(line)
    if option is None:
        return redact(line)
    value = option.group("value")
    words = [word for word in _words(value) if not _protocol(word)]
    shown = value if is_harmless("".join(words)) else redact(value)
    return f"{line[: option.start('value')]}{shown}{line[option.end('value') :]}"


def redact_entry(key: str, value: str) -> ShownEntry:
    """An entry of a password map, without its password and all else that may be secret.

    What the key may be depends on the value: unless that is a login, the line has its parts in
    another order, and only a server in brackets, one of SES or an access key ID is harmless, and
    what is too short for a secret. Beside a key that is redacted, only an access key ID is shown.
    """
    name, colon, rest = value.partition(":")
    named = bool(_access_key(name)) or (_is_username(name) and not _is_name(rest))
    is_login = bool(rest) and named and not _bracketed_inside(rest)
    shown_key = _redact_key(key, is_login)
    if not (colon and named and (shown_key == key or _access_key(name))):
        return ShownEntry(shown_key, None)
    return ShownEntry(shown_key, name)


def _redact_key(key: str, is_login: bool) -> str:
    if _login_of_key(key):
        return f"{key.partition(':')[0]}:{REDACTED}"
    harmless = _bracketed(key) or _ses_endpoint(key) or _access_key(key) or _short(key)
    if is_login and not harmless:
        harmless = _destination(key) or _address(key) or _name_with_port(key)
    return key if harmless and (_ses_endpoint(key) or not _long_run(key)) else REDACTED


def _is_username(name: str) -> bool:
    harmless = _plain(name) or _address(name) or _mail_manager_name(name)
    return bool(harmless) and not _long_run(name)


def _is_name(password: str) -> bool:
    """Whether what stands in the place of the password is rather the name of somebody or a server."""
    return bool(_access_key(password) or _address(password) or _destination(password))


def _is_certain(word: str) -> bool:
    """Whether a word is harmless whatever is beside it."""
    return bool(
        not word.strip(", \t\r\n\f\v")
        or _bracketed(word)
        or _table(word)
        or (_tables(word) and _redact_word(word) == word)
        or _transport(word)
        or _path(word)
        or _parameter(word)
        or _access_key(word)
    )


def _is_simple(word: str) -> bool:
    """Whether a word is harmless alone."""
    return bool(_name_with_port(word) or _number(word) or _short_parameter(word))


def _redact_word(word: str) -> str:
    if _tables(word):
        prefix, inner = t.cast("re.Match[str]", _tables(word)).groups("")
        return f"{prefix}{{{redact(inner)}}}"
    if _is_certain(word) or _is_simple(word) or _destination(word):
        return word
    for kept in (_inline(word), _login_of_key(word)):
        if kept:
            return f"{kept.group(1).rstrip(':')}:{REDACTED}"
    server = _ends_bracketed(word)
    return f"{REDACTED}{server.group(1)}" if server else REDACTED

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an old access key can be deactivated: every reason against it alone, and together."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._rotation_verdict import (
    HostRecord,
    judge_rotation,
)
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY as NEW
from ansible_collections.mailops.ses.tests.support.example_key import MAIL_MANAGER
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

OLD, THIRD = "AKIAEXAMPLE000000002", "AKIAEXAMPLE000000003"
GONE = {"unreachable": True, "msg": "Connection\n refused"}
FAILED = {"failed": True, "msg": "postconf was not found"}


def answer(username: t.Any = NEW, **entry: t.Any) -> dict[str, t.Any]:
    """The answer of a host with one entry."""
    result = relay_result()
    result["instances"][0]["entries"][0].update(username=username, **entry)
    return result


def both(*usernames: str | None) -> dict[str, t.Any]:
    """The answer of a host with an entry for each of these."""
    result = relay_result()
    entries = [answer(name)["instances"][0]["entries"][0] for name in usernames]
    result["instances"][0]["entries"] = entries
    return result


def of_instance(**changes: t.Any) -> dict[str, t.Any]:
    """The answer of a host with the new key, whose instance says this."""
    result = relay_result()
    result["instances"][0].update(changes)
    return result


def unread(count: int = 1) -> dict[str, t.Any]:
    """The answer of a host with so many maps that can't be read."""
    one = {"table": "ldap:/x", "path": None, "mode": None, "settings": ["a", "b"]}
    maps = [{**one, "table": f"ldap:/{number}", "complete": False} for number in range(count)]
    return of_instance(maps=[*relay_result()["instances"][0]["maps"], *maps])


def verdict(**hosts: t.Any) -> dict[str, t.Any]:
    """The verdict on hosts, each by its record or its only answer."""
    records = {
        name: each if isinstance(each, HostRecord) else HostRecord(answers=(each,))
        for name, each in hosts.items()
    }
    found = judge_rotation(records, NEW, OLD)
    assert json.loads(json.dumps(found)) == found
    return found


# A login to something else than SES.
OTHERS: dict[str, t.Any] = {
    "key": "mail.example.com",
    "system": None,
    "servers": [],
    "region": None,
    "version": None,
    "matches": None,
    "username": "me",
}
AT_MAIL_MANAGER: dict[str, t.Any] = {
    **OTHERS,
    "key": f"[{MAIL_MANAGER['endpoint']}]:587",
    "username": MAIL_MANAGER["username"],
    "system": "mail_manager",
}
EMPTY = of_instance(entries=[])

#: what is known of a host -> all that is in the way, in full
IN_FULL: list[tuple[t.Any, list[str]]] = [
    (HostRecord(is_left_out=True), ["was left out by --limit, so nothing is known about it"]),
    (HostRecord(), ["was not asked which keys it holds"]),
    ({**relay_result(), "instances": []}, ["has no Postfix instance that was found"]),
    (
        answer(active=False),
        ["has the new key in the source of a map only, where it is not active"],
    ),
]


@pytest.mark.parametrize(("record", "reasons"), IN_FULL)
def test_the_words_of_a_reason(record: t.Any, reasons: list[str]) -> None:
    found = verdict(bad=record, good=relay_result())
    assert found["blocking"] == [{"host": "bad", "reasons": reasons}]


#: what a host answered, or what is known of it -> why it is in the way
BLOCKED: dict[str, tuple[t.Any, str]] = {
    "the old key": (answer(OLD), "has the old key"),
    "the old key beside the new one": (both(NEW, OLD), "has the old key"),
    "the old key, not active": (answer(OLD, active=False), "has the old key"),
    "the old key in a reversed line": (
        answer("me", key=f"{OLD}:REDACTED", region=None, servers=[], version=None, matches=None),
        "has the old key",
    ),
    "the old key as a lookup key": (answer(**{**OTHERS, "key": OLD}), "has the old key"),
    "the old key at another server": (answer(**{**OTHERS, "username": OLD}), "has the old key"),
    "the old key at Mail Manager": (
        answer(**{**AT_MAIL_MANAGER, "username": OLD}), "has the old key",
    ),
    "another key": (
        answer(THIRD),
        f"but with neither the old nor the new key: {THIRD} (check the spelling of the old access key)",
    ),
    "another key at another server": (answer(**{**OTHERS, "username": THIRD}), THIRD),
    "a name at SES, by its region": (
        answer("me", key="@example.com", servers=[], version=None, matches=None),
        "neither the old nor the new key: me",
    ),
    "by its server": (
        answer(**{**OTHERS, "servers": [{"host": "email-smtp.eu-west-1.amazonaws.com", "port": 587, "tls": None}]}),
        "neither the old nor the new key: me",
    ),
    "by its key": (
        answer(**{**OTHERS, "key": "[email-smtp.eu-west-1.amazonaws.com]:587"}),
        "neither the old nor the new key: me",
    ),
    "by its version": (answer(**{**OTHERS, "version": 2}), "neither the old nor the new key: me"),
    "by its secret": (
        answer(**{**OTHERS, "matches": {"access_key": THIRD, "region": None, "version": 2}}),
        "neither the old nor the new key: me",
    ),
    "a user name that is not shown": (
        answer(None), "has an SES login whose user name can't be told",
    ),
    "the new key, not active": (
        answer(active=False),
        "has the new key in the source of a map only, where it is not active",
    ),
    "pending": (of_instance(rotation_pending=True), "has a rotation that is not finished"),
    "not as root": ({**relay_result(), "root": False}, "was not read as root: run the playbook with -b (become)"),
    "an instance": (
        {**relay_result(), "unreadable_instances": ["/etc/postfix-2"]},
        "has Postfix instances that can't be read: /etc/postfix-2",
    ),
    "the only instance": (
        {**relay_result(), "instances": [], "unreadable_instances": ["/etc/postfix"]},
        "has Postfix instances that can't be read: /etc/postfix",
    ),
    "no instance": ({**relay_result(), "instances": []}, "has no Postfix instance that was found"),
    "a map": (
        unread(),
        "has password maps that can't be read completely: ldap:/0 of a, b in /etc/postfix",
    ),
    "many maps": (unread(7), "ldap:/4 of a, b in /etc/postfix and 2 more"),
    "unreachable": (GONE, "can't be reached: Connection refused"),
    "failed": (FAILED, "can't be read: postconf was not found"),
    "malformed": ({"instances": 3, "root": True}, "its answer is not one of postfix_relay_info: instances is not of the type list"),
    "skipped": ({"skipped": True}, "its answer is not one of postfix_relay_info: root is missing"),
    "too much": (of_instance(entries=[None] * 100_000), "entries has 100000 items, and at most 10000 can be"),
    "not asked": (HostRecord(), "was not asked which keys it holds"),
    "left out": (HostRecord(is_left_out=True), "was left out by --limit, so nothing is known about it"),
    "trouble": (HostRecord((relay_result(),), trouble="no\nluck"), "no luck"),
    "one of two answers": (HostRecord((relay_result(), GONE)), "can't be reached: Connection refused"),
    "the other of two answers": (HostRecord((relay_result(), answer(OLD))), "has the old key"),
}  # fmt: skip


@pytest.mark.parametrize(("host", "says"), BLOCKED.values(), ids=BLOCKED)
def test_one_host_is_enough(host: t.Any, says: str) -> None:
    found = verdict(good=answer(), empty=EMPTY, bad=host)
    assert found["safe"] is False
    ((name, (why,)),) = [(each["host"], each["reasons"]) for each in found["blocking"]]
    assert name == "bad"
    assert says in why
    assert found["lines"][1:3] == [f"It is NOT safe to deactivate {OLD}", f"bad: {why}"]


#: hosts that are in nobody's way
ACCEPTED: dict[str, dict[str, t.Any]] = {
    "the new key": answer(),
    "the new key twice": both(NEW, NEW),
    "beside another account's": both(NEW, THIRD),
    "none at all": EMPTY,
    "of others only": answer(**OTHERS),
    "of others, whose user name is not shown": answer(**{**OTHERS, "username": None}),
    "of Mail Manager": answer(**AT_MAIL_MANAGER),
    "of Mail Manager, whose user name is not shown": answer(
        **{**AT_MAIL_MANAGER, "username": None}
    ),
}


@pytest.mark.parametrize("host", ACCEPTED.values(), ids=ACCEPTED)
def test_safe(host: dict[str, t.Any]) -> None:
    found = verdict(good=answer(), other=host)
    assert found["safe"] is True
    assert found["blocking"] == []
    assert found["lines"][1] == f"It is safe to deactivate {OLD}"
    assert found["read"] == found["hosts"] == ["good", "other"]


def test_logins_of_mail_manager_are_named() -> None:
    """No rotation of an access key changes them."""
    two = both(NEW, NEW)
    two["instances"][0]["entries"][1].update(AT_MAIL_MANAGER)
    found = verdict(mx1=two, mx2=answer(**AT_MAIL_MANAGER), mx3=answer())
    key = AT_MAIL_MANAGER["key"]
    assert found["mail_manager"] == [{"host": "mx1", "keys": [key]}, {"host": "mx2", "keys": [key]}]
    assert found["without_login"] == ["mx2"]
    assert found["lines"][-2] == (
        "Not touched, because the logins of Mail Manager are not derived from an access key: "
        f"{key} on mx1; {key} on mx2"
    )
    assert verdict(mx3=answer())["mail_manager"] == []


def test_the_default_is_not_safe() -> None:
    """Without any host, and where nobody has the new key."""
    for found in (verdict(), verdict(a=EMPTY), verdict(a=EMPTY, b=answer(**OTHERS))):
        assert found["safe"] is False
        assert found["blocking"] == []
        assert found["lines"][1] == f"It is NOT safe to deactivate {OLD}"
        assert "No host was seen to use the new access key" in found["lines"]


def test_several_reasons() -> None:
    host = unread()
    host["root"] = False
    host["unreadable_instances"] = ["/etc/postfix-2"]
    host["instances"][0]["rotation_pending"] = True
    host["instances"][0]["entries"] += both(OLD, None)["instances"][0]["entries"]
    found = verdict(bad=HostRecord((host, host), trouble="refused"))
    ((reasons),) = [each["reasons"] for each in found["blocking"]]
    assert [" ".join(why.split()[:3]) for why in reasons] == [
        "has the old",
        "has a rotation",
        "refused",
        "was not read",
        "has Postfix instances",
        "has password maps",
        "has an SES",
    ]


def test_what_is_counted() -> None:
    found = verdict(
        b=both(NEW, THIRD), a=answer(), c=answer(OLD), d=EMPTY, e=GONE, f=both(OLD, THIRD)
    )
    assert found["lines"][0] == (
        f"2 of 6 hosts hold the new access key {NEW}, 2 the old access key {OLD}"
    )
    assert found["with_new_key"] == ["a", "b"]
    assert found["with_old_key"] == ["c", "f"]
    assert found["without_login"] == ["d"]
    assert found["other_access_keys"] == [{"username": THIRD, "hosts": ["b", "f"]}]
    assert f"Other access key {THIRD}: b, f" in found["lines"]
    assert "Without any SES login: d" in found["lines"]
    assert found["lines"][-1] == (
        "Looked at: Postfix on 5 hosts, with all its instances and password maps. Not looked at:"
        " applications, other mail servers, and other machines that may use the old access key"
    )
    assert verdict(a=answer())["lines"][0].startswith("1 of 1 host hold")
    assert "Postfix on 1 host," in verdict(a=answer())["lines"][-1]


TROUBLE = HostRecord(answers=(answer(OLD),), trouble="refused", was_touched=True)

#: a host beside one in trouble -> which list it is in
AFTER_TROUBLE: dict[str, tuple[HostRecord, str | None]] = {
    "seen with the old key": (HostRecord((answer(OLD),), was_touched=True), "rolled_back"),
    "rotated before": (HostRecord((answer(),), was_touched=False), None),
    "rotated in an earlier batch": (HostRecord((answer(),), was_touched=True), None),
    "the new key, and trouble": (
        HostRecord((answer(),), was_touched=True, trouble="x"), "may_hold_new_key",
    ),
    "both keys": (HostRecord((both(OLD, NEW),), was_touched=True), "may_hold_new_key"),
    "pending": (
        HostRecord((of_instance(rotation_pending=True),), was_touched=True), "may_hold_new_key",
    ),
    "pending since an earlier run": (
        HostRecord((of_instance(rotation_pending=True),)), "may_hold_new_key",
    ),
    "lost after the change": (HostRecord((GONE,), was_touched=True, trouble="x"), "may_hold_new_key"),
    "lost, and nobody noticed": (HostRecord((GONE,), was_touched=True), "may_hold_new_key"),
    "not asked afterwards": (HostRecord((), was_touched=True), "may_hold_new_key"),
    "half read": (
        HostRecord(({**answer(OLD), "root": False},), was_touched=True), "may_hold_new_key",
    ),
    "lost before": (HostRecord((GONE,), trouble="x"), "not_touched"),
    "its batch never came": (HostRecord((answer(OLD),)), "not_touched"),
    "another key": (HostRecord((answer(THIRD),)), "not_touched"),
    "without a login": (HostRecord((EMPTY,)), None),
    "left out": (HostRecord(is_left_out=True), None),
}  # fmt: skip


@pytest.mark.parametrize(("host", "expected"), AFTER_TROUBLE.values(), ids=AFTER_TROUBLE)
def test_after_trouble(host: HostRecord, expected: str | None) -> None:
    found = verdict(host=host, trouble=TROUBLE)
    lists = ("rolled_back", "may_hold_new_key", "not_touched")
    assert [name for name in lists if "host" in found[name]] == ([expected] if expected else [])
    assert "trouble" in found["rolled_back"]
    titles = ("Rolled back", "May still hold", "Not touched")
    said = [line for line in found["lines"] if line.startswith(titles) and " host" in line]
    assert len(said) == (1 if expected else 0)


def test_without_trouble_nothing_is_said_of_it() -> None:
    found = verdict(a=HostRecord((answer(OLD),), was_touched=True), b=GONE)
    assert found["rolled_back"] == found["may_hold_new_key"] == found["not_touched"] == []


def test_the_lines_are_lines() -> None:
    """Whatever a host says, and whatever it is called."""
    found = verdict(**{"a\nb": HostRecord((GONE,), trouble="\x1b[2J\ud800\n" + "x" * 5000)})
    assert all(line.isprintable() and len(line) < 2500 for line in found["lines"])


def test_the_old_key_is_reason_enough() -> None:
    """Of its other keys a host is not blamed as well."""
    assert verdict(a=both(OLD, THIRD))["blocking"] == [
        {"host": "a", "reasons": ["has the old key"]}
    ]


def test_a_rotation_of_an_earlier_run_that_is_not_finished() -> None:
    found = verdict(a=of_instance(rotation_pending=True), b=answer(OLD))
    assert (found["may_hold_new_key"], found["not_touched"]) == (["a"], ["b"])

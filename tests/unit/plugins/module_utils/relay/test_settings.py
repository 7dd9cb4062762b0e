# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    MAPS,
    Kind,
    RelayError,
    RelayLogin,
    Setting,
    SettingChange,
    list_settings,
    list_unless_older,
    plan_settings,
    predict_values,
    restore_setting,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer

OURS = "hash:/p/sasl_passwd"
A = RelayLogin(SmtpLogin(SmtpServer("a.example.com", 587, "starttls"), "user", "sesame"))
B = RelayLogin(SmtpLogin(SmtpServer("b.example.com", 465, "wrapper"), "user", "sesame"))
OF_SENDER = RelayLogin(
    SmtpLogin(SmtpServer("c.example.com", 587, "starttls"), "user", "sesame"), "@example.com"
)

# kind, our value, another value -> whether that is as good
SATISFIED: list[tuple[Kind, str, str, bool]] = [
    (Kind.WORD, "secure", "secure", True),
    (Kind.WORD, "secure", "Secure", False),
    (Kind.WORD, "yes", "YES", True),
    (Kind.WORD, "no", "yes", False),
    (Kind.LIST, "[a]:587, [b]:587", "[a]:587 [b]:587", True),
    (Kind.LIST, "[a]:587, [b]:587", "[b]:587, [a]:587", False),
    (Kind.SET, "noanonymous, noplaintext", "noplaintext noanonymous", True),
    (Kind.SET, "noanonymous", "noplaintext noanonymous", False),
    (Kind.WITH_TABLE, OURS, OURS, True),
    (Kind.WITH_TABLE, OURS, f"hash:/other, {OURS}", True),
    (Kind.WITH_TABLE, OURS, f"proxy:{OURS}", True),
    (Kind.WITH_TABLE, OURS, "", False),
    (Kind.WITH_TABLE, OURS, f"{OURS} lmdb:/p/sasl_passwd", False),
]
# our table is added: the list from before -> the list afterwards
ADDED: dict[str, str] = {
    "": OURS,
    "hash:/other": f"{OURS}, hash:/other",
    "$others, hash:/other": f"{OURS}, $others, hash:/other",
    f"hash:/other {OURS}": f"hash:/other, {OURS}",
    "hash:/other, lmdb:/p/sasl_passwd": f"hash:/other, {OURS}",
    f"lmdb:/p/sasl_passwd, {OURS}": OURS,
    "inline:{ {a = b}, {c = d} }": f"{OURS}, inline:{{ {{a = b}}, {{c = d}} }}",
}
# name, before ours, ours, now -> what comes back (None: nothing), and whether there is a warning
GIVEN_BACK: dict[str, tuple[str, str | None, str, str | None, tuple[str | None] | None, bool]] = {
    "it is back": ("relayhost", None, "[a]", None, None, False),
    "it was not there": ("relayhost", None, "[a]", "[a]", (None,), False),
    "it was there": ("relayhost", "[x]", "[a], [b]", "[a] [b]", ("[x]",), False),
    "somebody else's": ("relayhost", "[x]", "[a]", "[y]", None, True),
    "somebody removed it": ("relayhost", "[x]", "[a]", None, None, True),
    "a list that grew": (MAPS, None, OURS, f"{OURS}, hash:/new", ("hash:/new",), False),
    "a list that shrank": (MAPS, "x:y", f"{OURS}, x:y", OURS, (None,), False),
    "a list without ours": (MAPS, "x:y", f"{OURS}, x:y", "x:z", None, False),
    "ours was there before": (MAPS, f"x:y, {OURS}", f"x:y, {OURS}", f"{OURS}, x:z", None, False),
}


@pytest.mark.parametrize(("kind", "ours", "other", "satisfied"), SATISFIED)
def test_values_that_are_as_good(kind: Kind, ours: str, other: str, satisfied: bool) -> None:
    assert Setting("x", ours, kind).is_satisfied_by(other) is satisfied


@pytest.mark.parametrize(("before", "after"), ADDED.items())
def test_a_table_is_added_to_a_list(before: str, after: str) -> None:
    setting = Setting(MAPS, OURS, Kind.WITH_TABLE)
    assert setting.add_to(before) == after
    assert setting.is_satisfied_by(after)
    assert setting.add_to(after) == after


def wanted(*logins: RelayLogin, senders: t.Sequence[RelayLogin] = ()) -> list[Setting]:
    """The settings for these."""
    return list_settings(
        logins,
        senders,
        table=OURS,
        sender_table="hash:/p/ses_sender_relayhost",
        tls_level="secure",
        ca_file="/ca.pem",
    )


def test_what_main_cf_is_to_say() -> None:
    assert {setting.name: setting.value for setting in wanted(A)} == {
        MAPS: OURS,
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_security_options": "noanonymous, noplaintext",
        "smtp_sasl_tls_security_options": "noanonymous",
        "smtp_tls_security_level": "secure",
        "smtp_tls_wrappermode": "no",
        "smtp_tls_CAfile": "/ca.pem",
        "relayhost": "[a.example.com]:587",
    }


def test_what_senders_add() -> None:
    with_senders = {setting.name: setting for setting in wanted(A, senders=[OF_SENDER])}
    without = {setting.name for setting in wanted(A)}
    assert {name: with_senders[name].value for name in with_senders.keys() - without} == {
        "sender_dependent_relayhost_maps": "hash:/p/ses_sender_relayhost",
        "smtp_sender_dependent_authentication": "yes",
    }


def test_tls_from_the_first_byte_is_for_all_servers_or_none() -> None:
    assert Setting("smtp_tls_wrappermode", "yes") in wanted(B)
    with pytest.raises(RelayError, match=r"\[a.example.com\]:587 begins with STARTTLS and \[b"):
        wanted(B, A)
    with pytest.raises(RelayError, match=r"\[c.example.com\]:587 begins with STARTTLS and \[b"):
        wanted(B, senders=[OF_SENDER])


def test_the_keys_in_the_order_in_which_postfix_looks_them_up() -> None:
    assert A.keys == ("a.example.com", "[a.example.com]:587")
    assert A.key == "[a.example.com]:587"
    assert OF_SENDER.keys == ("@example.com",)
    assert OF_SENDER.key == "@example.com"
    assert "sesame" not in repr(A) + repr(OF_SENDER)


def test_only_what_is_not_right_changes() -> None:
    effective = {
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_security_options": "noplaintext,noanonymous",
        "smtp_sasl_tls_security_options": "noanonymous",
        "smtp_tls_wrappermode": "no",
        "smtp_tls_security_level": "may",
        "smtp_tls_CAfile": "/ca.pem",
        "relayhost": "[a.example.com]:587",
        MAPS: "hash:/other",
    }
    explicit = {"smtp_tls_security_level": "may", MAPS: "$mine"}
    assert plan_settings(wanted(A), effective, explicit) == [
        SettingChange(MAPS, "$mine", f"{OURS}, $mine"),
        SettingChange("smtp_tls_security_level", "may", "secure"),
    ]
    assert (
        plan_settings(wanted(A), {**effective, MAPS: OURS, "smtp_tls_security_level": "secure"}, {})
        == []
    )


def test_a_default_that_follows_a_setting_is_set_with_it() -> None:
    effective = {setting.name: setting.value for setting in wanted(A)}
    effective["smtp_sasl_security_options"] = effective["smtp_sasl_tls_security_options"]
    found = plan_settings(wanted(A), effective, {"smtp_sasl_security_options": "noanonymous"})
    assert [(change.name, change.after) for change in found] == [
        ("smtp_sasl_security_options", "noanonymous, noplaintext"),
        ("smtp_sasl_tls_security_options", "noanonymous"),
    ]
    explicit = {name: "noanonymous" for name in effective if name.endswith("options")}
    found = plan_settings(wanted(A), effective, explicit)
    assert [change.name for change in found] == ["smtp_sasl_security_options"]


@pytest.mark.parametrize(
    "value",
    ["$smtp_sasl_security_options", "${mine}", "$(mine)", "${mine?{$mine}:{noanonymous}}"],
)
def test_a_value_that_is_another_settings_is_set_with_it(value: str) -> None:
    """By way of a parameter, too, or of one that ends where it began."""
    effective = {setting.name: setting.value for setting in wanted(A)}
    effective["smtp_sasl_security_options"] = "noanonymous"
    explicit = {
        "smtp_sasl_security_options": "noanonymous",
        "smtp_sasl_tls_security_options": value,
        "mine": "$theirs",
        "theirs": "$smtp_sasl_security_options $mine",
    }
    assert plan_settings(wanted(A), effective, explicit)[1] == SettingChange(
        "smtp_sasl_tls_security_options", value, "noanonymous"
    )


def test_a_former_table_by_way_of_a_parameter_is_replaced() -> None:
    setting = Setting(MAPS, OURS, Kind.WITH_TABLE)
    effective = {MAPS: "hash:/other, lmdb:/p/sasl_passwd"}
    assert plan_settings([setting], effective, {MAPS: "hash:/other, $mine"}) == [
        SettingChange(MAPS, "hash:/other, $mine", f"hash:/other, {OURS}")
    ]


@pytest.mark.parametrize("value", ["static:me:sesame", "inline:{ {h = me:sesame} }"])
def test_a_list_with_passwords_is_not_edited_and_not_shown(value: str) -> None:
    setting = Setting(MAPS, OURS, Kind.WITH_TABLE)
    with pytest.raises(RelayError, match="holds passwords itself") as raised:
        plan_settings([setting], {MAPS: value}, {MAPS: value})
    assert "sesame" not in str(raised.value)
    with pytest.raises(RelayError, match="holds passwords itself"):
        restore_setting(MAPS, None, OURS, f"{OURS}, {value}")


def test_values_after_a_change_are_known_before() -> None:
    settings = wanted(A)
    verified = "smtp_sasl_tls_verified_security_options"
    effective = {MAPS: "hash:/other", verified: "noplaintext", "gone": "1", "kept": "2"}
    changing = [
        SettingChange(MAPS, "$mine", f"{OURS}, $mine"),
        SettingChange("smtp_sasl_tls_security_options", None, "noanonymous"),
        SettingChange("gone", "1", None),
    ]
    values = {
        MAPS: f"{OURS}, hash:/other",
        "smtp_sasl_tls_security_options": "noanonymous",
        "kept": "2",
    }
    after = predict_values(settings, effective, {MAPS: "$mine"}, changing)
    assert after == {**values, verified: "noanonymous"}
    after = predict_values(settings, effective, {verified: "noplaintext"}, changing)
    assert after == {**values, verified: "noplaintext"}
    assert predict_values(settings, effective, {}, []) == effective


@pytest.mark.parametrize("case", GIVEN_BACK)
def test_a_setting_is_given_back(case: str) -> None:
    name, before, wrote, now, back, warned = GIVEN_BACK[case]
    change, warning = restore_setting(name, before, wrote, now)
    assert change == (SettingChange(name, now, back[0]) if back else None)
    assert (f"{name} was changed by somebody else" in str(warning)) is warned


def test_what_an_older_postfix_does_not_know_is_not_set() -> None:
    assert list_unless_older({"relayhost": ""}) == []
    assert list_unless_older({"tls_required_enable": "yes"}) == [
        Setting("tls_required_enable", "no")
    ]

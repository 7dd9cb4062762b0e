# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter postfix_relay_audit: which hosts it takes, and what it refuses."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.mailops.ses.plugins.filter import postfix_relay_audit as plugin
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result
from jinja2 import StrictUndefined


class HostVariables(dict[str, t.Any]):
    """Has localhost without listing it, as hostvars does where the inventory has none."""

    def get(self, name: str, default: t.Any = None) -> t.Any:
        return {"found": relay_result()} if name == "localhost" else super().get(name, default)


def hosts_in(report: t.Any) -> list[str]:
    return [host["host"] for host in report["hosts"]]


def test_hosts_without_the_variable_are_left_out() -> None:
    variables = {"mx1": {"found": relay_result(), "x": 1}, "mx2": {"x": 1}}
    assert hosts_in(plugin.postfix_relay_audit(variables, "found")) == ["mx1"]


def test_a_variable_that_no_host_has() -> None:
    with pytest.raises(AnsibleFilterError, match="no host has the variable 'misspelt'"):
        plugin.postfix_relay_audit({"mx1": {"found": relay_result()}, "mx2": {}}, "misspelt")
    with pytest.raises(AnsibleFilterError, match="nothing to report on"):
        plugin.postfix_relay_audit({}, "found")


def test_the_implicit_localhost_is_a_host() -> None:
    variables = HostVariables(mx1={"found": relay_result()})
    assert hosts_in(plugin.postfix_relay_audit(variables, "found")) == ["localhost", "mx1"]


@pytest.mark.parametrize(
    ("hosts", "register", "says"),
    [
        ([], "found", "like hostvars, not list"),
        ("mx1", "found", "like hostvars, not str"),
        (None, "found", "like hostvars, not nothing (null)"),
        ({}, None, "register must be the name of a variable, not nothing (null)"),
        ({}, ["found"], "register must be the name of a variable, not list"),
    ],
)
def test_refused(hosts: t.Any, register: t.Any, says: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.postfix_relay_audit(hosts, register)
    assert str(caught.value).startswith("mailops.ses.postfix_relay_audit: ")
    assert says in str(caught.value)


ACCEPT = """
- finding: unused_entry
  hosts: web:!mx2
  reason: known
  until: 2999-12-31
"""
GROUPS = {"all": ["mx1", "mx2", "db"], "web": ["mx1", "mx2"]}
FOUND = {name: {"found": relay_result(("notice", "unused_entry"))} for name in GROUPS["all"]}


def test_patterns_of_hosts_are_those_of_the_inventory() -> None:
    report = plugin.postfix_relay_audit(FOUND, "found", ACCEPT, GROUPS)
    assert [row["host"] for row in report["accepted"]] == ["mx1"]
    assert [row["host"] for row in report["findings"]] == ["db", "mx2"]


def test_fail_on() -> None:
    failed = {"mx1": {"found": {"failed": True, "msg": "no"}}}
    for fail_on, passed in (("none", True), ("critical", False), ("warning", False)):
        report = plugin.postfix_relay_audit(failed, "found", fail_on=fail_on)
        assert report["verdict"]["passed"] is passed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fail_on": "error"}, "fail_on (audit_fail_on) must be critical, warning or none (given"),
        ({"fail_on": ["none"]}, "fail_on (audit_fail_on) must be"),
        (
            {"accept": [ACCEPT], "groups": GROUPS},
            "accept must be the text of a YAML file, not list",
        ),
        ({"accept": ACCEPT}, "accept needs groups, the inventory's groups, not nothing (null)"),
        (
            {"accept": ACCEPT.replace("web:!mx2", "~[web"), "groups": GROUPS},
            "accept (audit_accept): entry 1 has the malformed pattern '~[web' in hosts",
        ),
        (
            {"accept": ACCEPT.replace("web:!mx2", "~(web"), "groups": GROUPS},
            "accept (audit_accept): entry 1 has the malformed pattern '~(web' in hosts",
        ),
        (
            {"accept": ACCEPT.replace("web:!mx2", "mail"), "groups": GROUPS},
            "accept (audit_accept): entry 1 has the pattern 'mail' in hosts, which matches no host",
        ),
    ],
)
def test_refused_options(options: dict[str, t.Any], says: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.postfix_relay_audit(FOUND, "found", **options)
    assert says in str(caught.value)


def test_undefined_is_handed_on() -> None:
    undefined = StrictUndefined()
    assert plugin.postfix_relay_audit(undefined, "found") is undefined
    assert plugin.postfix_relay_audit({}, undefined) is undefined


def test_the_filter_has_its_name() -> None:
    assert plugin.FilterModule().filters() == {"postfix_relay_audit": plugin.postfix_relay_audit}

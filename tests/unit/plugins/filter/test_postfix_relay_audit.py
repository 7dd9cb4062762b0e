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


def test_undefined_is_handed_on() -> None:
    undefined = StrictUndefined()
    assert plugin.postfix_relay_audit(undefined, "found") is undefined
    assert plugin.postfix_relay_audit({}, undefined) is undefined


def test_the_filter_has_its_name() -> None:
    assert plugin.FilterModule().filters() == {"postfix_relay_audit": plugin.postfix_relay_audit}

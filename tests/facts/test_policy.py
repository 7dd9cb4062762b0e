# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The IAM policy of the guide to credentials keeps to the grammar of AWS's policies.

parliament knows it: the elements of a statement, SES's actions, which resources and condition keys
each of them has, the form of ARNs. It accepts any global condition key with any operator, and does not
know the short form of an IPv6 address: these are checked here.

What neither can show, and only an AWS account can: that SES decides as the policy says when a message
comes over SMTP, and that nothing else forbids it (a policy of the organization, a boundary, the
policy of the identity, the sandbox).
"""

from __future__ import annotations

import copy
import importlib
import ipaddress
import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import KNOWN_REGIONS
from ansible_collections.mailops.ses.tests.support.examples import guides

#: Only this session has it, so that mypy does not know it.
PARLIAMENT: t.Any = importlib.import_module("parliament")

POLICY: dict[str, t.Any] = json.loads(guides.blocks("guide_credentials", "json")[0])
STATEMENT: dict[str, t.Any] = POLICY["Statement"][0]
ADDRESSES = STATEMENT["Condition"]["IpAddress"]["aws:SourceIp"]
WITHOUT_IP = {"StringLike": STATEMENT["Condition"]["StringLike"]}
VPC = {**WITHOUT_IP, "IpAddress": {"aws:VpcSourceIp": ADDRESSES}}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html and, for
# SES's own, the page of SES in the Service Authorization Reference: each with its operators.
OPERATORS = {
    "aws:SourceIp": ("IpAddress", "NotIpAddress"),
    "aws:VpcSourceIp": ("IpAddress", "NotIpAddress"),
    "ses:FromAddress": ("StringEquals", "StringLike"),
}
# What is wrong with a statement: how it differs, and what parliament calls that.
MISTAKES: dict[str, tuple[dict[str, t.Any], str]] = {
    "no such action": ({"Action": "ses:SendRawMail"}, "UNKNOWN_ACTION"),
    "no such resource": (
        {"Resource": "arn:aws:ses:eu-west-1:123456789012:identities/example.com"},
        "RESOURCE_MISMATCH",
    ),
    "no account": ({"Resource": "arn:aws:ses:eu-west-1:1:identity/example.com"}, "INVALID_ARN"),
    "all identities": ({"Resource": "*"}, "RESOURCE_STAR"),
    "no such key": (
        {"Condition": {"StringLike": {"ses:Sender": "*@example.com"}}},
        "UNKNOWN_CONDITION_FOR_ACTION",
    ),
    "no such operator": (
        {"Condition": {"StringLooksLike": {"ses:FromAddress": "*@example.com"}}},
        "UNKNOWN_OPERATOR",
    ),
    "no such element": ({"Conditions": {}}, "MALFORMED"),
}


def with_changes(**changes: t.Any) -> dict[str, t.Any]:
    """The policy, with other elements in its statement."""
    policy = copy.deepcopy(POLICY)
    policy["Statement"][0].update(changes)
    return policy


def findings(policy: t.Mapping[str, t.Any]) -> list[str]:
    """What parliament says is wrong, having seen the IPv4 addresses only."""
    text = json.dumps(policy)
    for address in ADDRESSES:
        if ":" in address:
            text = text.replace(f', "{address}"', "")
    return [each.issue for each in PARLIAMENT.analyze_policy_string(text).findings]


@pytest.mark.parametrize("condition", [STATEMENT["Condition"], VPC, WITHOUT_IP])
def test_the_policy_has_no_finding(condition: dict[str, t.Any]) -> None:
    assert findings(with_changes(Condition=condition)) == []


def test_a_configuration_set_is_a_resource_too() -> None:
    """The guide says that it has to be added where one is used."""
    added = "arn:aws:ses:eu-west-1:123456789012:configuration-set/outgoing"
    assert findings(with_changes(Resource=[*STATEMENT["Resource"], added])) == []


@pytest.mark.parametrize(("changes", "issue"), MISTAKES.values(), ids=MISTAKES)
def test_parliament_would_notice(changes: dict[str, t.Any], issue: str) -> None:
    assert issue in findings(with_changes(**changes))


def test_it_allows_one_action_for_named_identities() -> None:
    assert STATEMENT["Effect"] == "Allow"
    assert STATEMENT["Action"] == "ses:SendRawEmail"
    for resource in STATEMENT["Resource"]:
        arn, partition, service, region, account, name = resource.split(":")
        assert (arn, partition, service) == ("arn", "aws", "ses")
        assert region in KNOWN_REGIONS
        assert account.isdigit()
        assert name.startswith("identity/")
        assert "*" not in name


def test_the_conditions_keys_go_with_their_operators() -> None:
    """Of these parliament looks at SES's own only."""
    for condition in (STATEMENT["Condition"], VPC):
        for operator, keys in condition.items():
            for key in keys:
                assert operator in OPERATORS[key], key


def test_the_addresses_are_networks() -> None:
    """IPv4 and IPv6, none of them all addresses."""
    networks = [ipaddress.ip_network(each) for each in ADDRESSES]
    assert {each.version for each in networks} == {4, 6}
    assert all(each.prefixlen > 0 for each in networks)

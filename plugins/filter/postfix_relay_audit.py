# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: postfix_relay_audit
short_description: Make one report of what M(mailops.ses.postfix_relay_info) found on many hosts
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Turns the results that M(mailops.ses.postfix_relay_info) registered on the hosts of a play into one report.
  - The playbook C(mailops.ses.audit) shows it on the terminal, and writes it as JSON and as a page to look at.
    The filter is for reports of one's own.
options:
  _input:
    description:
      - The variables of the hosts, by host, like C(hostvars).
    type: dict
    required: true
  register:
    description:
      - The name of the variable that the module's task registered its result in.
      - Hosts without this variable are not in the report. It is an error if no host has it.
    type: str
    required: true
  accept:
    description:
      - The text of a YAML file with accepted findings, which the report lists apart.
      - R(The guide about the audit, ansible_collections.mailops.ses.docsite.guide_audit.accept) says what is in the file.
    type: str
    default: ''
  groups:
    description: The hosts of the inventory by group, like C(groups). O(accept) needs it for its patterns of hosts.
    type: dict
  fail_on:
    description:
      - Which findings fail the audit, unless they are accepted. V(critical) are critical findings, and hosts without an
        answer, which may have any finding. V(warning) are warnings, too. V(none) fails no audit.
      - The filter only says so, in C(verdict).
    type: str
    choices: [critical, warning, none]
    default: none
positional: register, accept, groups, fail_on
seealso:
  - module: mailops.ses.postfix_relay_info
  - ref: ansible_collections.mailops.ses.docsite.guide_audit
    description: What is wrong with the relays of a fleet.
"""

EXAMPLES = r"""
- name: Look at what Postfix has
  mailops.ses.postfix_relay_info:
    report_failure: true
  register: relay

- name: Show what was found on all hosts
  ansible.builtin.debug:
    msg: "{{ (hostvars | mailops.ses.postfix_relay_audit('relay')).lines }}"
  run_once: true

- name: Fail on critical findings, and on hosts without an answer
  ansible.builtin.assert:
    that: report.verdict.passed
    fail_msg: "{{ report.verdict.reasons | join(', ') }}"
  run_once: true
  vars:
    report: "{{ hostvars | mailops.ses.postfix_relay_audit('relay', fail_on='critical') }}"
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    version:
      description:
        - The version of the report's form. It increases when something in it is renamed or removed, and stays the same
          when something is added.
      type: int
      sample: 1
    created:
      description: When the report was made, in UTC.
      type: str
      sample: '2030-06-15T03:10:07Z'
    command:
      description:
        - The command that made the report, null if that was not C(ansible-playbook). Extra variables are not shown, because
          their values may be secret.
      type: str
      sample: ansible-playbook --become --inventory /etc/ansible/hosts mailops.ses.audit --extra-vars ...
    inventories:
      description: The names of the inventories.
      type: list
      elements: str
      sample: [hosts.yml]
    verdict:
      description:
        - Whether the audit C(passed), under O(fail_on), and the C(reasons) if not. Accepted findings don't count.
      type: dict
      sample:
        fail_on: critical
        passed: false
        reasons: [2 critical findings, 1 host without an answer]
    summary:
      description:
        - How many there are of what. C(hosts) is the sum of C(audited), C(unreachable) and C(failed);
          C(without_findings) are some of those that were C(audited).
        - C(critical), C(warning) and C(notice) count findings that are not accepted, and C(accepted) counts those that are.
        - C(relays_accepted), C(relays_not_accepted) and C(relays_unknown) count the outcomes of probes. All are 0 without
          probes.
      type: dict
      sample:
        hosts: 3
        audited: 2
        unreachable: 1
        failed: 0
        without_findings: 1
        critical: 0
        warning: 1
        notice: 0
        accepted: 0
        relays_accepted: 1
        relays_not_accepted: 0
        relays_unknown: 1
    oldest_deferred:
      description:
        - The deferred message that has been waiting longest on all hosts. It is null if there is no deferred mail.
        - C(age) is in seconds. C(reason) may be null. See RV(mailops.ses.postfix_relay_info#module:instances[].deferred).
      type: dict
      sample:
        host: mx1.example.com
        config_directory: /etc/postfix
        age: 7260
        reason: 'connect to email-smtp.eu-west-1.amazonaws.com[192.0.2.1]:587: Connection timed out'
    findings:
      description:
        - The findings of all hosts that are not accepted, sorted by C(severity), the most severe first, and by C(host).
        - Besides the C(host), each has what RV(mailops.ses.postfix_relay_info#module:findings[]) has, and C(acceptance),
          which is null, or has the C(reason) and the date C(until) of an acceptance that C(is_over).
        - A host that is unreachable, or on which the module failed, has one with the C(severity) V(unknown),
          between V(critical) and V(warning), and the C(id) V(unreachable) or V(failed).
      type: list
      elements: dict
    accepted:
      description: The findings that are accepted, in the same form and order.
      type: list
      elements: dict
    groups:
      description:
        - The C(findings) grouped by C(severity) and C(id), for reports for people. C(hosts) is the number of hosts.
        - What differs by the host alone is one of the C(cases), with its C(message), C(remedy), C(where), C(acceptance) and
          the names of its C(hosts).
      type: list
      elements: dict
    accepted_groups:
      description: The C(accepted) findings, grouped in the same way.
      type: list
      elements: dict
    usernames:
      description:
        - Which C(hosts) have an entry with a C(username), whether in use or not. C(system) is V(iam) for an access key,
          V(mail_manager) for an ingress endpoint of Mail Manager, and null for the login of another server.
        - An access key ID that is not here is on none of the hosts that answered.
      type: list
      elements: dict
      sample:
        - username: AKIAIOSFODNN7EXAMPLE
          system: iam
          hosts: [mx1.example.com, mx2.example.com]
    hosts:
      description:
        - The hosts, those with the most severe findings first.
        - C(state) is V(audited), V(unreachable) or V(failed); C(severity) is that of the most severe finding that is not
          accepted, or null; C(instances) are those of RV(mailops.ses.postfix_relay_info#module:instances).
      type: list
      elements: dict
    lines:
      description:
        - The report for a terminal of 100 columns. The findings come first, grouped and with the most severe at the top. Then
          come hosts without an answer, accepted findings, the outcomes of probes, deferred mail, user names, the verdict, and
          a line with the sums.
      type: list
      elements: str
"""

import datetime
import re
import typing as t
from collections.abc import Mapping

from ansible import context
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from ..module_utils._ses._smtp_password import type_name
from ..plugin_utils._audit import FAIL_ON, Request, audit
from ..plugin_utils._audit_accept import Acceptance, AcceptError, read_acceptances
from ..plugin_utils._audit_origin import describe_origin
from ..plugin_utils._templating import find_undefined

_NAME = "mailops.ses.postfix_relay_audit"
#: Of these hostvars has the variables, though it does not list it unless the inventory does.
_IMPLICIT = "localhost"


def postfix_relay_audit(
    hosts: t.Any, register: t.Any, accept: t.Any = "", groups: t.Any = None, fail_on: t.Any = "none"
) -> t.Any:
    """Return the report (dict) on what ``hosts`` registered, or the first undefined argument."""
    undefined = find_undefined(hosts, register, accept, groups, fail_on)
    if undefined is not None:
        return undefined
    if not isinstance(hosts, Mapping):
        raise AnsibleFilterError(
            f"{_NAME}: the input must be the variables of the hosts by host, like hostvars, "
            f"not {type_name(hosts)}"
        )
    if not isinstance(register, str):
        raise AnsibleFilterError(
            f"{_NAME}: register must be the name of a variable, not {type_name(register)}"
        )
    if not isinstance(fail_on, str) or fail_on not in FAIL_ON:
        raise AnsibleFilterError(
            f"{_NAME}: fail_on (audit_fail_on) must be {', '.join(FAIL_ON[:-1])} or {FAIL_ON[-1]}"
            f" (given: {fail_on!r})"
        )
    accepted = _accepted(accept, groups)
    results = {}
    for name in {*hosts, _IMPLICIT}:
        variables = hosts.get(name, {})
        if register in variables:
            results[name] = variables[register]
    if not results:
        raise AnsibleFilterError(
            f"{_NAME}: no host has the variable {register!r}, so there is nothing to report on. Check its "
            "spelling, and that the task with this register ran"
        )
    now = datetime.datetime.now(datetime.timezone.utc)
    return audit(results, Request(now, accepted, fail_on, describe_origin(context.CLIARGS)))


def _accepted(accept: t.Any, groups: t.Any) -> list[Acceptance]:
    """Return what ``accept``, the text of a file, accepts on the hosts of ``groups``."""
    if accept is None or accept == "":
        return []
    if not isinstance(accept, str):
        raise AnsibleFilterError(
            f"{_NAME}: accept must be the text of a YAML file, not {type_name(accept)}"
        )
    if not isinstance(groups, Mapping):
        raise AnsibleFilterError(
            f"{_NAME}: accept needs groups, the inventory's groups, not {type_name(groups)}"
        )
    try:
        return read_acceptances(accept, _Patterns(groups).find_hosts)
    except AcceptError as exc:
        raise AnsibleFilterError(f"{_NAME}: accept (audit_accept): {exc}") from None


class _Patterns:
    """Patterns of hosts, as ansible-core understands them."""

    def __init__(self, groups: Mapping[str, t.Iterable[str]]) -> None:
        self._inventory = InventoryManager(DataLoader(), parse=False)
        for group, hosts in groups.items():
            self._inventory.add_group(group)
            for host in hosts:
                self._inventory.add_host(host, group=group)

    def find_hosts(self, pattern: str) -> list[str]:
        """Return the hosts that a pattern matches. Raises ValueError if it is malformed."""
        # Of these ansible-core makes other patterns, which can match all hosts.
        if pattern.count("[") != pattern.count("]"):
            raise ValueError("brackets that do not match")
        try:
            return [str(host.name) for host in self._inventory.get_hosts(pattern)]
        except (AnsibleError, re.error) as exc:
            raise ValueError(str(exc)) from None


class FilterModule:
    """The filter mailops.ses.postfix_relay_audit."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"postfix_relay_audit": postfix_relay_audit}

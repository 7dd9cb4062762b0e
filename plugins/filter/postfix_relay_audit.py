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
positional: register
seealso:
  - module: mailops.ses.postfix_relay_info
  - ref: ansible_collections.mailops.ses.docsite.guide_audit
    description: What is wrong with the relays of a fleet.
"""

EXAMPLES = r"""
- name: Look at what Postfix has
  mailops.ses.postfix_relay_info:
  register: relay
  ignore_errors: true
  ignore_unreachable: true

- name: Show what was found on all hosts
  ansible.builtin.debug:
    msg: "{{ (hostvars | mailops.ses.postfix_relay_audit('relay')).lines }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    summary:
      description:
        - How many there are of what. C(hosts) is the sum of C(audited), C(unreachable) and C(failed);
          C(without_findings) are some of those that were C(audited); C(critical), C(warning) and C(notice) count findings.
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
    findings:
      description:
        - The findings of all hosts, sorted by C(severity), the most severe first, and by C(host).
        - Besides the C(host), each has what RV(mailops.ses.postfix_relay_info#module:findings[]) has.
        - A host that is unreachable, or on which the module failed, has one with the C(severity) V(unknown),
          between V(critical) and V(warning), and the C(id) V(unreachable) or V(failed).
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
        - C(state) is V(audited), V(unreachable) or V(failed); C(severity) is that of the most severe finding, or null;
          C(instances) are those of RV(mailops.ses.postfix_relay_info#module:instances).
      type: list
      elements: dict
    lines:
      description:
        - All findings as a table for a terminal, what probes found of the relays, who has which user name, and a line that
          sums up.
      type: list
      elements: str
"""

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ..module_utils._ses._smtp_password import type_name
from ..plugin_utils._audit import audit
from ..plugin_utils._templating import find_undefined

_NAME = "mailops.ses.postfix_relay_audit"
#: Of these hostvars has the variables, though it does not list it unless the inventory does.
_IMPLICIT = "localhost"


def postfix_relay_audit(hosts: t.Any, register: t.Any) -> t.Any:
    """Return the report (dict) on what ``hosts`` registered, or the first undefined argument."""
    undefined = find_undefined(hosts, register)
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
    return audit(results)


class FilterModule:
    """The filter mailops.ses.postfix_relay_audit."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"postfix_relay_audit": postfix_relay_audit}

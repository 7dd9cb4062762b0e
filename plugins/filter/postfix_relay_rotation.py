# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: postfix_relay_rotation
short_description: Decide whether an access key can be deactivated after a rotation
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Decides from the results of M(mailops.ses.postfix_relay_info) on many hosts whether the old access key of a rotation
    can be deactivated. The playbook C(mailops.ses.rotate) ends with this verdict.
  - The old key can be deactivated if every host was read completely, none of them holds the old key or has an
    unfinished rotation, every host with SES logins uses the new key, and at least one host does.
  - A host that was left out by C(--limit), was not reached, was not read as root, or has an instance or a password map
    that can't be read completely blocks the verdict. So does a host whose answer is malformed.
  - An entry counts as an SES login if its lookup key or its server is an SES endpoint, if its password has the form of
    an SMTP password of SES, or if its user name has the form of an access key ID.
  - The verdict is about Postfix on these hosts. It knows nothing about applications, other mail servers, and other
    machines that use the key.
options:
  _input:
    description:
      - The variables of the hosts, by host, like C(hostvars).
    type: dict
    required: true
  register:
    description:
      - The name of the variable with the registered result of M(mailops.ses.postfix_relay_info), or a list of such
        names. The first one must be about all instances of a host. Others are left out on hosts where their task was
        skipped.
    type: list
    elements: str
    required: true
  hosts:
    description: All hosts that belong to the rotation, before C(--limit).
    type: list
    elements: str
    required: true
  asked:
    description: The hosts that the play has. The other O(hosts) were left out by C(--limit).
    type: list
    elements: str
    required: true
  access_key:
    description: The access key ID of the new key.
    type: str
    required: true
  old_access_key:
    description: The access key ID of the old key.
    type: str
    required: true
  trouble:
    description: The name of a variable that says what went wrong while a host's key was replaced.
    type: str
  touched:
    description: The name of a boolean variable that says whether a host's entries may have been changed.
    type: str
positional: register
seealso:
  - module: mailops.ses.postfix_relay_info
  - module: mailops.ses.postfix_relay_key
  - ref: ansible_collections.mailops.ses.docsite.guide_rotation
    description: The whole cycle, for many hosts.
"""

EXAMPLES = r"""
- name: Ask each host which keys it holds
  mailops.ses.postfix_relay_info:
  register: relay
  ignore_errors: true
  ignore_unreachable: true

- name: Check that the old access key can be deactivated
  ansible.builtin.assert:
    that: verdict.safe
    fail_msg: "{{ verdict.lines }}"
    success_msg: "{{ verdict.lines }}"
  run_once: true
  vars:
    verdict: >-
      {{ hostvars | mailops.ses.postfix_relay_rotation(
           'relay', hosts=groups['all'], asked=ansible_play_hosts_all,
           access_key='AKIAIOSFODNN7EXAMPLE', old_access_key='AKIAEXAMPLE000000002') }}
"""

RETURN = r"""
_value:
  description: The verdict.
  type: dict
  contains:
    safe:
      description: Whether the old key can be deactivated.
      type: bool
    blocking:
      description: The hosts that block the verdict, each as a C(host) with its C(reasons).
      type: list
      elements: dict
      sample:
        - host: mx1.example.com
          reasons: [has the old key]
    hosts:
      description: All hosts that belong to the rotation.
      type: list
      elements: str
    read:
      description: The hosts that were read completely.
      type: list
      elements: str
    with_new_key:
      description: The hosts on which Postfix finds an entry with the new key.
      type: list
      elements: str
    with_old_key:
      description: The hosts that have an entry with the old key, active or not.
      type: list
      elements: str
    without_login:
      description: The hosts that were read completely and have no SES login. They do not block the verdict.
      type: list
      elements: str
    other_access_keys:
      description: The other user names of SES logins, each with the C(hosts) that have it.
      type: list
      elements: dict
      sample:
        - username: AKIAEXAMPLE000000003
          hosts: [mx1.example.com]
    mail_manager:
      description: The hosts with logins to Mail Manager, each with the lookup C(keys). The rotation does not touch them.
      type: list
      elements: dict
      sample:
        - host: mx1.example.com
          keys: ['[abcdefgh.ijklmnop.mail-manager-smtp.amazonaws.com]:587']
    rolled_back:
      description: After a failed rotation, the hosts that were touched and were seen without the new key afterwards.
      type: list
      elements: str
    may_hold_new_key:
      description:
        - After a failed rotation, the hosts that have the new key beside trouble or the old key, that have an unfinished
          rotation, or that were touched and could not be read afterwards. Do not delete the new key either.
      type: list
      elements: str
    not_touched:
      description: After a failed rotation, the hosts whose entries were not changed by this run.
      type: list
      elements: str
    access_key:
      description: The access key ID of the new key.
      type: str
    old_access_key:
      description: The access key ID of the old key.
      type: str
    lines:
      description: The verdict in words, for a terminal.
      type: list
      elements: str
"""

import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._ses._smtp_password import type_name
from ..plugin_utils._rotation_verdict import (
    HostRecord,
    judge_rotation,
)
from ..plugin_utils._templating import (
    decrypt,
    find_undefined,
)

_NAME = "mailops.ses.postfix_relay_rotation"


def postfix_relay_rotation(
    variables: t.Any,
    register: t.Any,
    *,
    hosts: t.Any,
    asked: t.Any,
    access_key: t.Any,
    old_access_key: t.Any,
    trouble: t.Any = None,
    touched: t.Any = None,
) -> t.Any:
    """Return the verdict (dict) on what ``hosts`` registered, or the first undefined argument."""
    arguments = (register, hosts, asked, access_key, old_access_key, trouble, touched)
    undefined = find_undefined(variables, *arguments)
    if undefined is not None:
        return undefined
    if not isinstance(variables, Mapping):
        raise AnsibleFilterError(
            f"{_NAME}: the input must be the variables of the hosts by host, like hostvars, "
            f"not {type_name(variables)}"
        )
    registers = _names("register", [register] if isinstance(register, str) else register)
    belonging = _names("hosts", hosts)
    played = set(_names("asked", asked))
    new, old = _key("access_key", access_key), _key("old_access_key", old_access_key)
    if not belonging:
        raise AnsibleFilterError(f"{_NAME}: hosts is empty. Give the hosts of the rotation")
    if new == old:
        raise AnsibleFilterError(f"{_NAME}: access_key and old_access_key are the same")
    records = {}
    for name in {*belonging, *played}:
        # hostvars has no default for the name of an unknown host.
        own = variables[name] if name in variables else {}  # noqa: SIM401
        records[name] = HostRecord(
            answers=tuple(_answers(own, registers)),
            is_left_out=name not in played,
            trouble=str(own[trouble]) if trouble in own else "",
            was_touched=bool(own[touched]) if touched in own else False,
        )
    return judge_rotation(records, new, old)


def _answers(variables: t.Any, registers: t.Sequence[str]) -> t.Iterator[t.Any]:
    """The results of a host. One of a task that was skipped counts if it is the first."""
    for number, name in enumerate(registers):
        result = variables.get(name)
        if number == 0 and result is None:
            return
        skipped = isinstance(result, dict) and result.get("skipped")
        if number == 0 or not (result is None or skipped):
            yield result


def _names(option: str, value: t.Any) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise AnsibleFilterError(f"{_NAME}: {option} must be a list, not {type_name(value)}")
    wrong = next((item for item in value if not isinstance(item, str)), None)
    if wrong is not None:
        raise AnsibleFilterError(
            f"{_NAME}: {option} must be a list of names, but an item is {type_name(wrong)}"
        )
    return [str(item) for item in value]


def _key(option: str, value: t.Any) -> str:
    value = decrypt(value)
    if not isinstance(value, str) or not value:
        raise AnsibleFilterError(
            f"{_NAME}: {option} must be an access key ID, not {type_name(value)}"
        )
    return str(value)


class FilterModule:
    """The filter mailops.ses.postfix_relay_rotation."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"postfix_relay_rotation": postfix_relay_rotation}

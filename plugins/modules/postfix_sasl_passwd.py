#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_sasl_passwd
short_description: Manage the entries of a Postfix password map and its compiled table
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Makes sure that entries are, or are not, in the map that Postfix's C(smtp_sasl_password_maps) names, in its source
    and in the table that is compiled from it. The password is derived from the access key of an IAM user, or given.
  - Source and table are replaced whole or not at all, and nobody but their owner can read them at any moment.
    Comments, order and entries of others stay as they are, byte for byte.
  - The table is compared with its source, so that one that is missing, outdated, damaged, of another type or readable
    for others is put right, whatever left it so. No handler that runs C(postmap) is needed.
  - The AWS secret never leaves the controller. No password is in the result, the diff, a log, an error message or the
    arguments of a process.
extends_documentation_fragment:
  - mailops.ses._attributes
  - mailops.ses._attributes.action_group
  - mailops.ses._attributes.pipelined
  - mailops.ses._attributes.transaction
  - mailops.ses._credentials
  - mailops.ses._credentials.smtp_login
  - mailops.ses._password_map
options:
  key:
    description:
      - The lookup key of the entry, if it is not V([HOST]:PORT) of the SMTP endpoint.
      - The name of a host, a domain, or, with Postfix's C(smtp_sender_dependent_authentication), the address of a
        sender or V(@DOMAIN).
    type: str
  entries:
    description:
      - Many entries at once, each with the options that a single entry has.
      - What an entry does not say, it has from the task's own options. An entry with a O(entries[].password) or
        O(entries[].username) takes no access key from them, and the other way round.
      - An entry that gives only one of O(entries[].access_key) and O(entries[].secret_key) is an error if the task, or
        the environment, has the other half for another access key only.
      - An empty list with O(exclusive=true) removes all entries.
    type: list
    elements: dict
    suboptions:
      access_key:
        description: See O(access_key).
        type: str
        aliases: [aws_access_key_id, aws_access_key]
      secret_key:
        description: See O(secret_key).
        type: str
        aliases: [aws_secret_access_key, aws_secret_key]
      region:
        description: See O(region).
        type: str
        aliases: [aws_region]
      version:
        description: See O(version).
        type: int
        choices: [2, 4]
        aliases: [ses_smtp_version]
      endpoint:
        description: See O(endpoint).
        type: str
      port:
        description: See O(port).
        type: int
      tls:
        description: See O(tls).
        type: str
        choices: [starttls, wrapper]
      fips:
        description: See O(fips).
        type: bool
      dualstack:
        description: See O(dualstack).
        type: bool
      username:
        description: See O(username).
        type: str
      password:
        description: See O(password).
        type: str
      key:
        description: See O(key).
        type: str
      state:
        description: See O(state).
        type: str
        choices: [absent, present]
  state:
    description:
      - Whether the entries are to be in the map. For V(absent) only the lookup key is needed, or what it is made of.
    type: str
    choices: [absent, present]
    default: present
  exclusive:
    description:
      - Whether to remove all entries that the task does not give. Comments stay.
    type: bool
    default: false
  path:
    description:
      - The map's source, an absolute path. The compiled table is made beside it.
      - A symbolic link on the way is followed if it belongs to root or the running user, in a directory that no other
        user can write to. Any other link is an error.
      - Without it, the file C(sasl_passwd) in the instance's configuration directory.
    type: path
  backup:
    description:
      - Whether to keep the previous source, when it changes, in a file beside it that only its owner can read.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details: Needs the same rights as a run.
  diff_mode:
    support: full
    details: Shows lookup keys and user names, and a fixed word for each password. What may be one elsewhere is V(REDACTED).
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
  action:
    support: full
notes:
  - Keys are compared as Postfix compares them, without regard to case.
  - A lookup key that occurs twice is an error, because Postfix uses the first and ignores the second, unless the task asks
    for this key; it becomes one entry then. An entry with the bare name of the host is an error as well if the task
    asks for V([HOST]:PORT), because Postfix looks it up first. Both are removed with O(exclusive=true).
  - The files C(.NAME.mailops.lock) and, while the module works, C(.NAME.mailops) are beside the source.
  - A directory on the way to a file is an error if it belongs to another user, or if everybody can write to it, unless
    it is sticky and belongs to root. If its group can write to it, there is a warning. In such a directory the files
    themselves must belong to root or the running user, and have one name.
  - If the task only removes entries, an unsafe directory is a warning.
  - Tables of other types beside the source are not touched but for their owner and mode, and there is a warning.
seealso:
  - module: mailops.ses.postfix_relay
  - module: mailops.ses.ses_smtp_credentials
  - module: mailops.ses.ses_smtp_ping
  - ref: ansible_collections.mailops.ses.docsite.guide_secrets
    description: How the key gets in, and what is shown where.
  - name: Postfix SASL Howto
    description: What the entries of the map mean.
    link: https://www.postfix.org/SASL_README.html#client_sasl_enable
  - name: postmap(1)
    description: The format of the map's source.
    link: https://www.postfix.org/postmap.1.html
"""

EXAMPLES = r"""
- name: Give Postfix the credentials for Amazon SES
  mailops.ses.postfix_sasl_passwd:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1

- name: Send for two senders with a key each, and nothing else through this map
  mailops.ses.postfix_sasl_passwd:
    region: eu-west-1
    entries:
      - key: '@example.com'
        access_key: "{{ ses_access_key_id }}"
        secret_key: "{{ ses_secret_access_key }}"
      - key: billing@example.org
        username: "{{ billing_smtp_username }}"
        password: "{{ billing_smtp_password }}"
    exclusive: true

- name: Remove the entry of a region that is no longer used
  mailops.ses.postfix_sasl_passwd:
    region: us-east-1
    state: absent
"""

RETURN = r"""
path:
  description: The map's source.
  type: str
  returned: success
  sample: /etc/postfix/sasl_passwd
table:
  description: The map as C(smtp_sasl_password_maps) names it.
  type: str
  returned: success
  sample: hash:/etc/postfix/sasl_passwd
entries_added:
  description: The lookup keys of the entries that were not there before.
  type: list
  elements: str
  returned: success
  sample: ['[email-smtp.eu-west-1.amazonaws.com]:587']
entries_changed:
  description: The lookup keys of the entries that had another user name or password, or occurred more than once.
  type: list
  elements: str
  returned: success
  sample: []
entries_removed:
  description: The lookup keys of the entries that are not there any more.
  type: list
  elements: str
  returned: success
  sample: []
compiled:
  description: Whether the table was made anew.
  type: bool
  returned: success
  sample: true
reload_needed:
  description:
    - Whether Postfix has to be reloaded to notice what has changed. Only V(texthash) needs that.
  type: bool
  returned: success
  sample: false
backup_file:
  description: The copy of the previous source.
  type: str
  returned: O(backup=true) and the source changed, not in check mode
  sample: /etc/postfix/sasl_passwd.2145.2026-03-09@12:30:00~
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._files._attributes import FileAttributes
from ..module_utils._files._rights import check_can_write
from ..module_utils._files._safe_walk import Places
from ..module_utils._options import LOGIN_OPTIONS, POSTFIX_SASL_PASSWD
from ..module_utils._payload import unpack
from ..module_utils._postfix._map_entry import RequestedEntries
from ..module_utils._postfix._map_files import Tools
from ..module_utils._postfix._map_plan import MapPlan, check_source_path, find_table_type
from ..module_utils._postfix._programs import (
    Postfix,
)
from ..module_utils._relay._password_map import MapRequest, decide_password_map
from ..module_utils._relay._transaction import Outcome, Transaction
from ..module_utils._run_module import run_module


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=POSTFIX_SASL_PASSWD, supports_check_mode=True)
    run_module(module, run, {*LOGIN_OPTIONS, "entries", "key"})


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and unless in check mode apply, what the task asks for; returns the result."""
    params = module.params
    # Taken out, because a failure in AnsibleModule itself puts all parameters into the result.
    secret = params.pop("password")
    entries = unpack("mailops.ses.postfix_sasl_passwd", secret, RequestedEntries).entries
    postfix = Postfix(module, params["config_directory"])
    settings = postfix.read_settings()
    request = MapRequest(
        path=check_source_path(
            params["path"] or os.path.join(settings.config_directory, "sasl_passwd")
        ),
        table_type=find_table_type(params["map_type"], settings.default_type),
        entries=entries,
        exclusive=params["exclusive"],
        backup=params["backup"],
        utf8=settings.utf8,
    )
    check_can_write(os.path.dirname(request.path))
    removing = not any(entry.present for entry in entries) and not request.exclusive
    places = Places(module.warn, removing=removing)
    tools = Tools(postfix, FileAttributes(module), places)
    decision = decide_password_map(request, tools)
    outcome = Outcome(decision.plan)
    if decision.plan.changed and not module.check_mode:
        outcome = Transaction(tools).run(decision)
    for warning in outcome.plan.map.describe_other_tables():
        module.warn(warning)
    return _result(request, outcome.plan.map, outcome.backups)


def _result(request: MapRequest, plan: MapPlan, backups: t.Sequence[str]) -> dict[str, t.Any]:
    result = {
        "changed": plan.changed,
        "path": request.path,
        "table": f"{request.table_type.name}:{request.path}",
        "entries_added": plan.edit.entries_added,
        "entries_changed": plan.edit.entries_changed,
        "entries_removed": plan.edit.entries_removed,
        "compiled": plan.table_problem is not None,
        # What a killed run left may be active without Postfix being told.
        "reload_needed": not request.table_type.suffix
        and (plan.writes_source or plan.is_left_behind),
        "diff": _diff(request, plan),
    }
    if backups:
        result["backup_file"] = str(backups[0])
    return result


def _diff(request: MapRequest, plan: MapPlan) -> dict[str, str]:
    """The entries that change, and then what is wrong with the files; no password is in it."""
    before, after = list(plan.edit.before), list(plan.edit.after)
    if plan.table_problem:
        before.append(f"# the {request.table_type.name} table {plan.table_problem}")
        after.append(f"# the {request.table_type.name} table is up to date")
    for path in plan.wrong_attributes:
        before.append(f"# {path}: owner, group, mode or SELinux context are not as requested")
        after.append(f"# {path}: owner, group, mode and SELinux context are as requested")
    if plan.is_left_behind:
        before.append("# an interrupted run has left files behind")
    return {
        "before_header": request.path,
        "after_header": request.path,
        "before": "".join(f"{line}\n" for line in before),
        "after": "".join(f"{line}\n" for line in after),
    }


if __name__ == "__main__":
    main()

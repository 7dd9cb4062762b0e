#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_relay_key
short_description: Give a Postfix relay another access key, and take it back if need be
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Every entry of the password maps of a Postfix instance whose user name is O(old_access_key) gets the login of another
    access key, each for the region that it is for, all of them in one transaction.
  - Logs in with the new key from the managed host first, to each server that Postfix uses these entries for, and waits
    for a key that SES does not know yet. If SES refuses it, nothing is changed.
  - What the maps were before is kept on the host until that is confirmed or taken back, so that this can be done by
    another run, whatever became of the first one.
  - It does not matter who has set the relay up. The record of M(mailops.ses.postfix_relay) follows, so that this module
    finds nothing to do with the new key.
  - The AWS secret never leaves the controller. No password is in the result, the diff, a log, an error message or the
    arguments of a process.
extends_documentation_fragment:
  - mailops.ses._attributes
  - mailops.ses._attributes.action_group
  - mailops.ses._attributes.pipelined
  - mailops.ses._attributes.transaction
options:
  access_key:
    description:
      - The access key ID of the new key. It is the SMTP user name as well.
      - Without it, the controller's environment variable E(AWS_ACCESS_KEY_ID) is used.
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description:
      - The secret access key that belongs to O(access_key). It never leaves the controller.
      - Without it, the controller's environment variable E(AWS_SECRET_ACCESS_KEY) is used.
      - An access key ID has exactly one secret. With only one of O(access_key) and O(secret_key), it is an error if the
        environment holds another key.
      - A value that is certainly no secret access key is an error with the remedy, for example JSON text, an ARN or a
        template that was not rendered. Any other value without the form of IAM's secrets is a warning.
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  old_access_key:
    description: The access key ID that is to be replaced. Needed for O(state=replaced).
    type: str
  region:
    description:
      - The region of the entries whose own region can't be told from their server or their key, because they are for a
        host whose name is not one of SES.
    type: str
    aliases: [aws_region]
  regions:
    description:
      - The only regions for which this host gets passwords of the new key. An entry for another region is an error that
        names it, and nothing is sent to the host.
      - The managed host itself says which entries have the old key, and for which regions. Without this limit it gets the
        passwords for all regions that it names. It cannot be proved that a host had the old key.
    type: list
    elements: str
  config_directory:
    description:
      - The configuration directory of the Postfix instance, if it is not the default one.
    type: path
  state:
    description:
      - V(replaced) puts the new key in the place of the old one, and keeps the previous source of each map beside it, in
        the file C(.NAME.mailops.former), which only its owner can read. One that is there already stays.
      - V(confirmed) removes what was kept.
      - V(restored) brings back what was kept, byte for byte. If somebody else has changed a map meanwhile, its previous
        logins come back, and the rest stays, with a warning.
      - Where there is no old key, or nothing is kept, nothing is done.
    type: str
    choices: [confirmed, replaced, restored]
    default: replaced
  verify:
    description:
      - Whether to log in with the new key first. Nothing is sent.
    type: bool
    default: true
  timeout:
    description: How long such a login may take, in seconds.
    type: float
    default: 10
  retries:
    description:
      - How often to try a login again after a refusal that may pass, as that of a key that SES does not know yet.
    type: int
    default: 6
  delay:
    description: How many seconds to wait before each retry.
    type: float
    default: 5
  ca_file:
    description:
      - The file with the certificates of the authorities to trust at such a login.
      - Without it, the instance's C(smtp_tls_CAfile), or else what the managed host's Python trusts.
    type: path
attributes:
  check_mode:
    support: full
    details: Needs the same rights as a run. It logs in in C(check_mode) too.
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
  - Maps and tables keep their owner, mode and SELinux context.
  - A directory on the way to a file is an error if it belongs to another user, or if everybody can write to it, unless
    it is sticky and belongs to root. If its group can write to it, there is a warning. In such a directory the files
    themselves must belong to root or the running user, and have one name.
  - Postfix is reloaded for maps of the type V(texthash), which it reads when its processes start, and not otherwise.
  - Works on one instance. M(mailops.ses.postfix_relay_info) tells which ones have the old key.
  - With O(state=absent), M(mailops.ses.postfix_relay) removes what was kept for its map.
seealso:
  - module: mailops.ses.postfix_relay
  - module: mailops.ses.postfix_relay_info
  - ref: ansible_collections.mailops.ses.docsite.guide_rotation
    description: The whole cycle, for many hosts.
"""

EXAMPLES = r"""
- name: Put the new key in the place of the old one
  mailops.ses.postfix_relay_key:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    old_access_key: AKIAEXAMPLE000000002
  register: rotation

- name: Take it back
  mailops.ses.postfix_relay_key:
    state: restored

- name: Or remove what was kept for that
  mailops.ses.postfix_relay_key:
    state: confirmed
"""

RETURN = r"""
entries_changed:
  description: The lookup keys of the entries that have another login now.
  type: list
  elements: str
  returned: success
  sample: ['[email-smtp.eu-west-1.amazonaws.com]:587']
maps:
  description: The maps in which something was done, as C(smtp_sasl_password_maps) names them.
  type: list
  elements: str
  returned: success
  sample: [hash:/etc/postfix/sasl_passwd]
mail_manager_entries:
  description:
    - The lookup keys of the entries for Mail Manager. Their passwords are not derived from an access key, so the
      module does not touch them.
  type: list
  elements: str
  returned: success, with O(state=replaced)
  sample: []
pending:
  description: Whether previous maps are kept now, to be confirmed or restored.
  type: bool
  returned: success
  sample: true
reloaded:
  description: Whether Postfix was reloaded, or would be in check mode.
  type: bool
  returned: success
  sample: false
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._files._attributes import SameAttributes
from ..module_utils._files._safe_walk import Places
from ..module_utils._options import POSTFIX_RELAY_KEY, ROTATED_KEY
from ..module_utils._payload import unpack
from ..module_utils._postfix._map_entry import PasswordMapError
from ..module_utils._postfix._programs import (
    Postfix,
)
from ..module_utils._relay._instance import Instance
from ..module_utils._relay._login import try_logins
from ..module_utils._relay._rotation import decide_rotation
from ..module_utils._relay._rotation_plan import RotatedEntries, RotationRequest, diff
from ..module_utils._relay._transaction import Transaction
from ..module_utils._run_module import run_module
from ..module_utils._ses._redaction import is_harmless, redact


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=POSTFIX_RELAY_KEY, supports_check_mode=True)
    run_module(module, run, ROTATED_KEY)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and unless in check mode apply, what the task asks for; returns the result."""
    params = module.params
    # Taken out, because a failure in AnsibleModule itself puts all parameters into the result.
    secret = params.pop("secret_key")
    rotated = unpack("mailops.ses.postfix_relay_key", secret, RotatedEntries).entries
    if params["timeout"] <= 0 or params["retries"] < 0 or params["delay"] < 0:
        raise PasswordMapError("timeout must be more than 0, retries and delay at least 0")
    postfix = Postfix(module, params["config_directory"])
    instance = Instance(postfix, SameAttributes(module), Places(module.warn))
    request = RotationRequest(params["state"], rotated, params["old_access_key"] or "")
    decision = decide_rotation(request, instance)
    plan = decision.plan
    if params["verify"] and plan.entries_changed:
        try_logins(
            [login for each in rotated for login in each.list_logins()],
            params["timeout"],
            params["ca_file"] or _ca_file(instance.client_values().get("smtp_tls_CAfile", "")),
            retries=params["retries"],
            delay=params["delay"],
        )
    reloaded = plan.needs_reload and module.check_mode and instance.is_running()
    if plan.changed and not module.check_mode:
        outcome = Transaction(instance.tools, instance).run(decision)
        plan, reloaded = outcome.plan, outcome.reloaded
    for warning in plan.warnings:
        module.warn(warning)
    return {
        "changed": plan.changed,
        "entries_changed": plan.entries_changed,
        "maps": [each.table for each in plan.maps if each.changed],
        "pending": plan.is_pending,
        "reloaded": reloaded,
        "diff": diff(plan),
    }


def _ca_file(value: str) -> str | None:
    """The CA file that main.cf names, None if it names none. Errors of the login show its path."""
    if not is_harmless(value):
        raise PasswordMapError(
            f"smtp_tls_CAfile in main.cf is {redact(value)!r}, which is not the path of a file. Set"
            " it to one, or give ca_file. Nothing was changed"
        )
    return value or None


if __name__ == "__main__":
    main()

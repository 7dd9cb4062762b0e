#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_relay
short_description: Make a Postfix relay its mail through Amazon SES
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Sets up the password map, C(main.cf) and, with O(transport), C(master.cf) of a Postfix instance in one transaction, so
    that it relays all mail through Amazon SES, with a password that it offers inside verified TLS only, and reloads Postfix
    when that is needed.
  - Logs in to SES from the managed host first. If SES refuses the credentials, nothing is changed.
  - Afterwards a running Postfix itself probes its relay, see O(verify). If that fails, everything is rolled back.
  - Looks, before the new settings are active, at what C(postfix check) does not look at, and takes everything back if
    something fails. Whenever a run is interrupted, no mail is lost. At worst it waits for the next run, which finishes.
  - Sets what SES needs and nothing else. Other settings and entries, comments and order stay as they are, byte for
    byte, and so do mode, owner and symbolic link of C(main.cf). Only what is not as it should be already is set.
  - With O(state=absent), what was there before comes back.
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
  regions:
    description:
      - The regions that mail is sent through, instead of O(region). Postfix tries them in this order and takes the
        next one when it can't reach the one before. Each has its own password, derived from the same access key.
      - More than one needs Postfix 3.5.
    type: list
    elements: str
  senders:
    description:
      - Senders whose mail goes through an account, a region or an endpoint of its own.
      - An option that a sender omits has the value that it has for all mail. The region is then the first of
        O(regions). A sender with O(senders[].username) or O(senders[].password) takes no access key from there, and a
        sender with an access key takes neither of these two.
      - A sender that gives only one of O(senders[].access_key) and O(senders[].secret_key) is an error if the other
        half can only come from another key, that for all mail or that in the environment.
      - Sets C(sender_dependent_relayhost_maps) and C(smtp_sender_dependent_authentication). The table is the file
        C(ses_sender_relayhost) beside the password map.
    type: list
    elements: dict
    suboptions:
      sender:
        description: The address of a sender, or V(@DOMAIN) for all senders of a domain.
        type: str
        required: true
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
        description: See O(port). All servers of a relay have ports of one kind, for STARTTLS or for TLS at once.
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
  path:
    description:
      - The source of the password map, an absolute path. The compiled table is made beside it.
      - A symbolic link on the way is followed if it belongs to root or the running user, in a directory that no other
        user can write to. Any other link is an error.
      - Without it, the file C(sasl_passwd) in the instance's configuration directory.
    type: path
  tls_security_level:
    description:
      - V(secure) verifies the server's certificate against O(ca_file) before it offers a password.
      - V(encrypt) verifies nothing. Whoever can redirect the connection gets the password.
    type: str
    choices: [encrypt, secure]
    default: secure
  ca_file:
    description:
      - The file with the certificates of the authorities to trust. It becomes C(smtp_tls_CAfile).
      - Without it, the one of the system's package C(ca-certificates), unless O(tls_security_level=encrypt).
    type: path
  transport:
    description:
      - The SMTP client of Postfix that delivers to SES, by the name of its service in C(master.cf).
      - V(smtp) is Postfix's own client for all mail. What SES needs is set in C(main.cf), so it holds for other mail, too.
      - Any other name, for example V(ses), gives SES a client of its own. Its service has every setting that SES needs,
        so nothing changes for other mail, and no setting of TLS or SASL in C(main.cf) can keep mail from SES.
      - With such a client, C(relayhost) still names the servers. C(default_transport) names the service, and so does
        C(relay_transport), unless that has a next hop or another delivery agent.
      - Settings by the name of a service, such as C(ses_destination_rate_delay), then hold for SES alone.
      - A service of that name that is not this relay's is an error. So are the names of Postfix's own services.
      - If the task names another client than before, the settings that only the previous one needs are restored.
    type: str
    default: smtp
  accept_findings:
    description:
      - The IDs of findings that don't matter on this host. Without them the run is refused if mail would go around SES, or
        if the relay's settings would keep other mail from its server. The error names the ID.
      - Each run warns of what it accepts, and the result lists it.
      - C(tls_not_verified) can't be accepted.
      - The guide about the audit lists all findings.
    type: list
    elements: str
    default: []
  verify:
    description:
      - Whether to prove that the relay works. No message is sent.
      - Before anything is changed, the module logs in to each server with its credentials, from the managed host. It
        verifies the certificate, whatever O(tls_security_level) is.
      - Afterwards a running Postfix probes its relay with its own client and settings. If SES does not accept that, the
        task fails with Postfix's reason, and what the run has changed is rolled back.
      - Both happen at each run, so that a key that was deactivated since is found. In check mode the module logs in, and
        Postfix is not asked.
    type: bool
    default: true
  start_for_proof:
    description:
      - Whether to start a Postfix that is not running for its own probe, and to stop it again afterwards. Mail in its
        queue goes out meanwhile.
      - If SES does not accept the probe, Postfix is stopped before the previous relay is restored.
      - Without it, a stopped Postfix is left alone, and RV(proof) says so. It has no effect in check mode and with
        O(verify=false).
    type: bool
    default: false
  timeout:
    description: How long a login, and Postfix's probe, may take, in seconds.
    type: float
    default: 10
  retries:
    description:
      - How often to try a login, or a probe, again while its failure may pass, for example a connection that fails or
        the refusal of an access key that SES does not know yet.
    type: int
    default: 0
  delay:
    description: How many seconds to wait before each retry.
    type: float
    default: 5
  backup:
    description:
      - Whether to keep the previous C(main.cf), C(master.cf) and password map, when they change, in files beside them that
        only their owner can read.
    type: bool
    default: false
  state:
    description:
      - V(present) sets the relay up.
      - V(absent) takes it away and brings back what was there before, byte for byte where nobody else has changed the
        file since; otherwise setting by setting and entry by entry. What somebody has changed stays, with a warning.
        It needs neither credentials nor a region.
    type: str
    choices: [absent, present]
    default: present
attributes:
  check_mode:
    support: full
    details: Needs the same rights as a run. Makes what that makes first, in a temporary directory and without passwords.
  diff_mode:
    support: full
    details: Shows settings, lookup keys and user names, and a fixed word for each password. What may be one elsewhere is V(REDACTED).
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
  action:
    support: full
notes:
  - The TLS settings in C(main.cf) hold for all mail that Postfix's SMTP client sends. If some goes to other servers, for
    example by C(transport_maps) or C(content_filter), the run is refused unless these have settings of their own, in
    C(smtp_tls_policy_maps) or C(master.cf). Set O(transport=ses) then, so that SES has a client of its own.
  - Never restarts Postfix, and starts one that is stopped with O(start_for_proof=true) only, until its probe is over.
  - An entry for the bare name of the server, which Postfix finds first, gets the same login until O(state=absent).
  - What was there before is kept in the directory C(.mailops-ses) beside C(main.cf), which only root can read, until
    O(state=absent). The lock files C(.main.cf.mailops.lock) and C(.NAME.mailops.lock) stay.
  - A directory on the way to a file is an error if it belongs to another user, or if everybody can write to it, unless
    it is sticky and belongs to root. If its group can write to it, there is a warning. In such a directory the files
    themselves must belong to root or the running user, and have one name.
  - With O(state=absent) an unsafe directory is only a warning, because nothing that is removed is reached through a link.
    A link of another user's in the place of a file is removed, and not what it points to.
  - A password map that was there before has O(mode), O(owner) and O(group) even after O(state=absent).
seealso:
  - module: mailops.ses.postfix_sasl_passwd
  - module: mailops.ses.ses_smtp_ping
  - ref: ansible_collections.mailops.ses.docsite.guide_relay
    description: From a bare host to a relay, and what is set for it.
  - name: Postfix SASL Howto
    description: The settings for a client that logs in.
    link: https://www.postfix.org/SASL_README.html#client_sasl_enable
  - name: Integrating Amazon SES with Postfix
    description: What AWS has to say about it.
    link: https://docs.aws.amazon.com/ses/latest/dg/postfix.html
"""

EXAMPLES = r"""
- name: Relay all mail through Amazon SES
  mailops.ses.postfix_relay:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1

- name: Go through another region while the first can't be reached
  mailops.ses.postfix_relay:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    regions: [eu-west-1, eu-west-3]

- name: Let the mail of one domain and one sender go through accounts of their own
  mailops.ses.postfix_relay:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
    senders:
      - sender: '@example.com'
        access_key: "{{ example_access_key_id }}"
        secret_key: "{{ example_secret_access_key }}"
      - sender: billing@example.org
        username: "{{ billing_smtp_username }}"
        password: "{{ billing_smtp_password }}"
        region: eu-west-3

- name: Give Amazon SES an SMTP client of its own, because other mail goes to other servers
  mailops.ses.postfix_relay:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
    transport: ses

- name: Put everything back as it was before
  mailops.ses.postfix_relay:
    state: absent
"""

RETURN = r"""
settings:
  description:
    - What has changed in C(main.cf), by the name of the setting.
    - A value is null where C(main.cf) does not have the setting, so that Postfix's default counts.
    - What may be a password in a value is V(REDACTED).
  type: dict
  returned: success
  sample:
    relayhost:
      before: null
      after: '[email-smtp.eu-west-1.amazonaws.com]:587'
reloaded:
  description: Whether Postfix was reloaded, or would be in check mode.
  type: bool
  returned: success
  sample: true
first_set_up:
  description:
    - Whether this run sets the relay up for the first time, so that O(state=absent) restores what was there before this run.
    - It is V(false) if nothing changes, with O(state=absent), and if there is a record of an earlier run of this module.
  type: bool
  returned: success
  sample: true
relayhost:
  description: The servers that Postfix relays mail through.
  type: str
  returned: success
  sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
path:
  description: The source of the password map.
  type: str
  returned: success
  sample: /etc/postfix/sasl_passwd
table:
  description: The password map as C(smtp_sasl_password_maps) names it.
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
  description: The lookup keys of the entries that had another user name or password.
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
accepted_findings:
  description: The findings that O(accept_findings) names and that this host has.
  type: list
  elements: str
  returned: success
  sample: []
proof:
  description:
    - What was shown of each server, for all mail or for that of one sender. It is empty with O(state=absent).
  type: list
  elements: dict
  returned: success
  contains:
    server:
      description: The server, as C(relayhost) has it.
      type: str
      sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
    sender:
      description: The sender, one of O(senders[].sender). It is null for all other mail.
      type: str
    shown_by:
      description:
        - V(postfix) if Postfix's own probe was accepted, V(login) if only the module's login was, and V(nothing) with
          O(verify=false).
        - Postfix's probe has a sender of its own and goes to the first server that it can reach. So the login of a
          sender, and each of several servers, is shown by V(login) at most.
      type: str
      sample: postfix
    tls_verified:
      description:
        - Whether Postfix verifies the certificate of the server before it sends the login, by C(main.cf), C(master.cf)
          and TLS policies. See O(tls_security_level).
      type: bool
      sample: true
    reason:
      description: What the server answered to the probe, or why there is no better proof, for example a stopped Postfix.
      type: str
      sample: 250 Ok
backup_files:
  description: The copies of previous files.
  type: list
  elements: str
  returned: O(backup=true), not in check mode
  sample: [/etc/postfix/main.cf.2145.2026-03-09@12:30:00~]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._files._attributes import FileAttributes
from ..module_utils._files._private_directory import make_private_directory
from ..module_utils._files._safe_walk import Places
from ..module_utils._options import LOGIN_OPTIONS, POSTFIX_RELAY
from ..module_utils._payload import unpack
from ..module_utils._postfix._map_entry import PasswordMapError
from ..module_utils._postfix._programs import (
    Postfix,
)
from ..module_utils._relay._decision import Outcome
from ..module_utils._relay._instance import Instance
from ..module_utils._relay._login import try_logins
from ..module_utils._relay._plan import (
    RelayPlan,
    RelayRequest,
    diff,
)
from ..module_utils._relay._proof import Proof, lack_proof, prove
from ..module_utils._relay._settings import NAMES, RelayLogins
from ..module_utils._relay._setup import complete_request, decide_setup
from ..module_utils._run_module import run_module
from ..module_utils._ses._redaction import redact

if t.TYPE_CHECKING:
    from ..module_utils._findings._probe import RelayProbe
    from ..module_utils._relay._decision import Decision
    from ..module_utils._relay._snapshot import RelaySnapshot

_UNVERIFIED = "verify is false"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=POSTFIX_RELAY, supports_check_mode=True)
    run_module(module, run, {*LOGIN_OPTIONS, "regions", "senders"})


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and unless in check mode apply, what the task asks for; returns the result."""
    params = module.params
    # Taken out, because a failure in AnsibleModule itself puts all parameters into the result.
    requested = unpack("mailops.ses.postfix_relay", params.pop("password"), RelayLogins)
    if params["timeout"] <= 0 or params["retries"] < 0 or params["delay"] < 0:
        raise PasswordMapError("timeout must be more than 0, retries and delay at least 0")
    request = RelayRequest(
        logins=requested.logins,
        senders=requested.senders,
        path=params["path"],
        map_type=params["map_type"],
        tls_level=params["tls_security_level"],
        ca_file=params["ca_file"],
        backup=params["backup"],
        accept_findings=tuple(params["accept_findings"]),
        transport=params["transport"],
    )
    places = Places(module.warn, removing=params["state"] == "absent")
    postfix = Postfix(module, params["config_directory"])
    instance = Instance(postfix, FileAttributes(module), places)
    if params["state"] == "present":
        outcome, proof, accepted = _set_up(module, request, instance)
    else:
        outcome, proof, accepted = _remove(module, request, instance), (), ()
    for warning in outcome.plan.warnings:
        module.warn(warning)
    result = _result(outcome, str(instance.main_cf.path))
    result["accepted_findings"] = accepted
    result["first_set_up"] = params["state"] == "present" and _is_first(outcome.plan)
    result["proof"] = [each.show() for each in proof]
    if params["backup"] and not module.check_mode:
        result["backup_files"] = [str(path) for path in outcome.backups]
    return result


def _set_up(
    module: AnsibleModule, request: RelayRequest, instance: Instance
) -> tuple[Outcome[RelayPlan], tuple[Proof, ...], tuple[str, ...]]:
    """Set up the relay unless it is, or in check mode.

    Returns what came of it, what was shown, and the findings that were accepted.
    """
    request = complete_request(request)
    decision = decide_setup(request, instance)
    try:
        outcome, proof = _do_set_up(module, request, decision, instance)
    finally:
        for warning in decision.warnings:
            module.warn(warning)
    return outcome, proof, decision.accepted


def _do_set_up(
    module: AnsibleModule,
    request: RelayRequest,
    decision: Decision[RelaySnapshot, RelayPlan],
    instance: Instance,
) -> tuple[Outcome[RelayPlan], tuple[Proof, ...]]:
    """Do what is decided; returns what came of it, and what was shown."""
    params = module.params
    logins = RelayLogins(request.logins, request.senders)
    again = {"retries": params["retries"], "delay": params["delay"]}
    if params["verify"]:
        servers = [each.login for each in (*request.logins, *request.senders)]
        try_logins(servers, params["timeout"], request.ca_file, **again)
    if module.check_mode:
        outcome = _rehearse(module, decision, instance)
        why = "in check mode, Postfix is not asked" if params["verify"] else _UNVERIFIED
        return outcome, lack_proof(logins, decision.unverified, why, logged_in=params["verify"])
    if not params["verify"]:
        outcome = _apply(decision, instance)
        return outcome, lack_proof(logins, decision.unverified, _UNVERIFIED, logged_in=False)
    # Only now, as below: what a run does not need would be most of its time if nothing changes.
    from ..module_utils._findings._probe import probe_relay  # noqa: PLC0415
    from ..module_utils._relay._running import run_for_proof  # noqa: PLC0415

    proof: list[Proof] = []

    def ask() -> RelayProbe:
        running = instance.is_running()
        return probe_relay(instance.postfix, instance.directory, params["timeout"], running=running)

    def find_suspects(found: RelayProbe) -> tuple[str, ...]:
        from ..module_utils._findings._suspects import list_suspects  # noqa: PLC0415

        return list_suspects(instance.postfix, instance.directory, found.transport, NAMES)

    def show(afterwards: str) -> None:
        with run_for_proof(instance, params["start_for_proof"]) as was_stopped:
            end = f"{afterwards}, and Postfix is stopped again" if was_stopped else afterwards
            proof[:] = prove(
                logins,
                decision.unverified,
                ask,
                afterwards=end,
                find_suspects=find_suspects,
                **again,
            )

    outcome = _apply(decision, instance, lambda: show("Everything was rolled back"))
    if not proof:
        show("Nothing was changed")
    return outcome, tuple(proof)


def _remove(module: AnsibleModule, request: RelayRequest, instance: Instance) -> Outcome[RelayPlan]:
    """Take the relay back, unless in check mode; returns what came of it."""
    from ..module_utils._relay._removal import decide_removal  # noqa: PLC0415

    decision = decide_removal(request, instance)
    if module.check_mode:
        return _rehearse(module, decision, instance)
    return _apply(decision, instance)


def _apply(
    decision: Decision[RelaySnapshot, RelayPlan],
    instance: Instance,
    prove_it: t.Callable[[], None] | None = None,
) -> Outcome[RelayPlan]:
    """Do what is planned, if anything; returns what came of it."""
    if not decision.plan.changed:
        return Outcome(decision.plan)
    from ..module_utils._relay._transaction import Transaction  # noqa: PLC0415

    return Transaction(instance.tools, instance, prove_it).run(decision)


def _rehearse(
    module: AnsibleModule, decision: Decision[RelaySnapshot, RelayPlan], instance: Instance
) -> Outcome[RelayPlan]:
    """Do what a run would do before it changes anything; returns what would come of it."""
    plan = decision.plan
    if plan.changed:
        from ..module_utils._relay._transaction import Transaction  # noqa: PLC0415

        with make_private_directory(module.tmpdir) as directory:
            Transaction(instance.tools, instance).rehearse(decision, directory)
    return Outcome(plan, reloaded=plan.needs_reload and instance.is_running())


def _is_first(plan: RelayPlan) -> bool:
    """Whether a plan to set up a relay changes something where there was no record of one."""
    record = plan.transaction.record
    return plan.changed and (record is None or record.previous is None)


def _result(outcome: Outcome[RelayPlan], main_cf: str) -> dict[str, t.Any]:
    plan = outcome.plan
    return {
        "changed": plan.changed,
        "reloaded": outcome.reloaded,
        "settings": {
            change.name: {
                "before": None if change.before is None else redact(change.before),
                "after": None if change.after is None else redact(change.after),
            }
            for change in plan.settings
        },
        "relayhost": plan.relayhost,
        "path": plan.path,
        "table": plan.table,
        "entries_added": plan.map.edit.entries_added if plan.map else (),
        "entries_changed": plan.map.edit.entries_changed if plan.map else (),
        "entries_removed": plan.entries_removed,
        "diff": diff(plan, main_cf),
    }


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_relay_info
short_description: Tell how a Postfix relays its mail, and what is wrong with it
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Reads C(main.cf), the password maps with their tables, the TLS settings and the queue of the Postfix instances on a
    host, and says which logins they hold and what is wrong.
  - Also reports files of this collection's modules that an interrupted task left in a login user's home directory. They
    can hold an SMTP password.
  - Changes nothing, takes no lock, and logs in nowhere. With O(probe=true), Postfix itself logs in to its relay.
  - Given O(candidates), it says which of these access keys each password was derived from, and for which region. The
    passwords to compare with are derived on the controller. The host gets digests of them, salted anew for each run,
    which nobody can log in with.
  - No password and no secret is in the result, in any way.
extends_documentation_fragment:
  - mailops.ses._attributes
  - mailops.ses._attributes.action_group
  - mailops.ses._credentials
options:
  access_key:
    description:
      - The access key ID of one more of O(candidates), together with O(secret_key).
      - The common options are there for the action group's defaults. The others are of no effect here, and the
        controller's environment is not looked at.
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description: The secret access key that belongs to O(access_key). It never leaves the controller.
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  candidates:
    description:
      - The access keys that a password may have been derived from. Without them only its form is looked at.
    type: list
    elements: dict
    default: []
    suboptions:
      access_key:
        description: The access key ID.
        type: str
        required: true
        aliases: [aws_access_key_id, aws_access_key]
      secret_key:
        description: The secret access key that belongs to it. It never leaves the controller.
        type: str
        required: true
        aliases: [aws_secret_access_key, aws_secret_key]
  config_directory:
    description:
      - The configuration directory of the one instance to look at. Without it, all that C(postmulti -l) lists, which
        is the default one on a host with no others.
    type: path
  probe:
    description:
      - Whether to have each running Postfix probe its relay, and report the outcome in RV(instances[].probe).
      - Postfix's own SMTP client connects to the relay, logs in, and names a sender and a recipient at the mailbox
        simulator of SES. It sends no message. One row stays in the address verification cache of Postfix.
      - If Postfix suspended delivery after an earlier failure, its queue manager is asked to forget the failure, so that
        the probe is a new attempt. Mail that waits keeps waiting until its own time.
      - A probe proves routing, TLS and login. It does not prove that the sender is a verified identity or that the IAM
        user may send, which SES checks after the message.
      - Needs root, and the services C(verify) and C(rewrite) in C(master.cf).
      - In check mode, nothing is probed.
    type: bool
    default: false
  probe_timeout:
    description: How long to wait for the outcome of a probe, in seconds. Used with O(probe=true).
    type: float
    default: 30
  report_failure:
    description:
      - Whether to report that the host gave no answer, instead of failing the task.
      - With V(true), the task does not fail if Ansible can't connect to the host, if the module can't run there, or if
        the module fails. The result then has RV(no_answer), and nothing else.
      - A mistake in the options of the task still fails it.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
  action:
    support: full
notes:
  - Run it as root. Others can't read password maps.
  - For files that interrupted tasks left, it searches C(remote_tmp) and C(~/.ansible_async) of the users in
    C(/etc/passwd) and C(/home), C(/tmp) and C(/var/tmp). It follows no links there, skips network file systems, and stops
    after 5 seconds.
  - Of C(main.cf), parameters are expanded. What C(master.cf) sets for a service of Postfix's client is respected.
  - Only tables of the types btree, cdb, hash, lmdb and texthash are read, and what C(static) and C(inline) tables say in
    the settings themselves. Others, like C(ldap), may have logins that are not listed.
    RV(instances[].maps[].complete) is V(false) for them, and no login is reported as missing.
seealso:
  - module: mailops.ses.postfix_relay
  - module: mailops.ses.postfix_sasl_passwd
  - module: mailops.ses.ses_smtp_ping
  - plugin: mailops.ses.ses_smtp_password_info
    plugin_type: filter
  - ref: ansible_collections.mailops.ses.docsite.guide_audit
    description: What is wrong with the relays of a fleet.
"""

EXAMPLES = r"""
- name: Look at the relay
  mailops.ses.postfix_relay_info:
  register: relay

- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ relay.findings | map(attribute='message') }}"

- name: Ask who still has an old key
  mailops.ses.postfix_relay_info:
    candidates:
      - access_key: "{{ ses_access_key_id }}"
        secret_key: "{{ ses_secret_access_key }}"
      - access_key: "{{ example_access_key_id }}"
        secret_key: "{{ example_secret_access_key }}"
  register: relay

- name: Have Postfix probe its relay
  mailops.ses.postfix_relay_info:
    probe: true
  register: relay

- name: Stop unless every running Postfix gets mail to its relay
  ansible.builtin.assert:
    that: relay.instances | selectattr('running') | rejectattr('probe.accepted', 'sameas', true) | length == 0
    fail_msg: "{{ relay.instances | map(attribute='probe.reason') | join('; ') }}"

- name: Stop if a critical finding is there
  ansible.builtin.assert:
    that: relay.findings | selectattr('severity', '==', 'critical') | length == 0
"""

RETURN = r"""
instances:
  description: The instances, in the order of C(postmulti -l), each with what it relays through and logs in with.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The instance's C(multi_instance_name), or V(-).
      type: str
      sample: '-'
    config_directory:
      description: Its configuration directory.
      type: str
      sample: /etc/postfix
    mail_version:
      description: The version of Postfix.
      type: str
      sample: 3.7.11
    running:
      description: Whether its master process runs.
      type: bool
      sample: true
    relayhost:
      description:
        - The servers that mail is relayed through, in the order in which Postfix tries them. What may be a password in
          one is V(REDACTED).
      type: list
      elements: str
      sample: ['[email-smtp.eu-west-1.amazonaws.com]:587']
    tls:
      description: How TLS begins, V(starttls) or V(wrapper), which is TLS from the first byte.
      type: str
      sample: starttls
    tls_security_level:
      description: The level that is in effect without a TLS policy.
      type: str
      sample: secure
    ca_file:
      description: What C(smtp_tls_CAfile) says.
      type: str
      sample: /etc/ssl/certs/ca-certificates.crt
    rotation_pending:
      description: Whether M(mailops.ses.postfix_relay_key) keeps what a map was before, to be confirmed or restored.
      type: bool
      sample: false
    probe:
      description: The outcome of a probe. It is null without O(probe=true), and in check mode.
      type: dict
      contains:
        accepted:
          description:
            - Whether the relay accepts the mail of this Postfix. The relay is a server that C(relayhost) names, or
              another SES endpoint.
            - V(true) if the server accepted the login and the addresses of the probe, or accepted the login and
              refused one of the addresses. Mail Manager accepts a message before its rules are applied; a rule may still
              drop it, which no probe shows.
            - V(false) if mail goes elsewhere, or if the relay was not reached or refused the login.
            - V(null) if Postfix could not be asked, or if another server than the relay may have answered.
          type: bool
          sample: true
        reason:
          description: The reply of the server or the reason that Postfix gives, with the meaning of a known refusal of SES
            and the remedy, or why it could not be asked.
          type: str
          sample: 250 Ok
        recipient:
          description: The recipient of the probe. It is null if Postfix was not asked.
          type: str
          sample: success+0f6ad8d2c4b1e973@simulator.amazonses.com
        transport:
          description: The service of C(master.cf) that delivers this mail. It is null if Postfix was not asked.
          type: str
          sample: smtp
        nexthop:
          description: The next hop of this mail. It is null if Postfix was not asked.
          type: str
          sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
    deferred:
      description:
        - The deferred mail in the queue of this instance. It is null if the queue could not be read.
        - Only the first 8 MiB of the queue's listing are read, some 20,000 messages, and for 20 seconds at most.
      type: dict
      contains:
        messages:
          description: The number of deferred messages.
          type: int
          sample: 3
        complete:
          description: Whether the whole queue was read.
          type: bool
          sample: true
        oldest_age:
          description: How long the oldest of them has been waiting, in seconds. It is null without deferred mail.
          type: int
          sample: 7260
        oldest_reason:
          description:
            - Why the oldest of them waits, null if no reason is known. Addresses, and all other words that are not usual in
              such a reason, are V(REDACTED).
          type: str
          sample: 'connect to email-smtp.eu-west-1.amazonaws.com[192.0.2.1]:587: Connection timed out'
    maps:
      description:
        - The password maps of every SMTP and LMTP client, from C(main.cf) and from all services of C(master.cf). Those of
          C(smtp_sasl_password_maps) in C(main.cf) come first, in the order in which Postfix asks them.
      type: list
      elements: dict
      contains:
        table:
          description: The map's type and path. Of one that has its entries in C(main.cf) the type only.
          type: str
          sample: hash:/etc/postfix/sasl_passwd
        path:
          description: The source, null where there is none.
          type: str
          sample: /etc/postfix/sasl_passwd
        mode:
          description: The mode of the source, null where there is none.
          type: str
          sample: '0600'
        settings:
          description:
            - The settings that name this map. A parameter of C(main.cf) has its name only, one of C(master.cf) has the
              form C(service/type/parameter), as C(postconf -P) lists it.
          type: list
          elements: str
          sample: [smtp_sasl_password_maps, ses/unix/smtp_sasl_password_maps]
        complete:
          description:
            - Whether all entries of the map and of its source are listed. V(false) for a map that this user may not
              read, that is damaged, or whose type has no entries to list, like C(ldap) or C(regexp).
          type: bool
          sample: true
    entries:
      description: The entries of the password maps.
      type: list
      elements: dict
      contains:
        settings:
          description: The settings that name the entry's map, as in RV(instances[].maps[].settings).
          type: list
          elements: str
          sample: [smtp_sasl_password_maps]
        table:
          description: The map that it is in.
          type: str
          sample: hash:/etc/postfix/sasl_passwd
        path:
          description: The map's source.
          type: str
          sample: /etc/postfix/sasl_passwd
        line:
          description: The line of the source, null if it is not there.
          type: int
          sample: 1
        key:
          description:
            - The lookup key. What may be a password in it, because the parts of a line are in another order, is
              V(REDACTED).
          type: str
          sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
        username:
          description:
            - The user name. For SES it is the access key ID, for Mail Manager the ID of the ingress endpoint. It is null if
              it may be a secret.
          type: str
          sample: AKIAIOSFODNN7EXAMPLE
        version:
          description: The version of the password by its form, null if it is not one of SES.
          type: int
          sample: 4
        active:
          description: Whether Postfix finds this entry now. V(false) for one of the source that the table lacks.
          type: bool
          sample: true
        servers:
          description: The destinations in use for which Postfix takes this entry, none if it is not used.
          type: list
          elements: dict
          contains:
            host:
              description: The server's name.
              type: str
              sample: email-smtp.eu-west-1.amazonaws.com
            port:
              description: Its port.
              type: int
              sample: 587
            tls:
              description: How TLS begins, V(starttls) or V(wrapper).
              type: str
              sample: starttls
        system:
          description:
            - The SMTP system of SES that the entry is for, by its servers, its key, its user name and the form of its
              password. V(iam) are the SMTP endpoints of the regions, whose passwords are derived from access keys.
              V(mail_manager) is Mail Manager, whose passwords are chosen. It is null for another server.
          type: str
          sample: iam
        region:
          description:
            - The region of the SES endpoint that the entry is for, by its servers, or else its lookup key. It is null for Mail
              Manager, and may be null for another server.
          type: str
          sample: eu-west-1
        matches:
          description: Which of O(candidates) the password was derived from, null if from none of them.
          type: dict
          contains:
            access_key:
              description: The candidate's access key ID.
              type: str
              sample: AKIAIOSFODNN7EXAMPLE
            region:
              description: The region that the password is for, null with version 2.
              type: str
              sample: eu-west-1
            version:
              description: The version of the password.
              type: int
              sample: 4
unreadable_instances:
  description:
    - The configuration directories of instances that can't be read. Nothing is known about their logins. Each has the
      finding V(instance_unreadable) as well.
  type: list
  elements: str
  returned: success
  sample: []
no_answer:
  description: Why the host gave no answer.
  type: dict
  returned: with O(report_failure=true), if the host gave no answer
  contains:
    state:
      description: V(unreachable) if Ansible could not connect to the host, otherwise V(failed).
      type: str
      sample: failed
    reason:
      description: The reason, in one line.
      type: str
      sample: 'sudo: not found'
root:
  description: Whether the module ran as root. Other users can't read password maps.
  type: bool
  returned: success
  sample: true
findings:
  description: What is wrong, the most severe findings first.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description:
        - The kind of finding. It stays the same from version to version.
        - R(All findings, ansible_collections.mailops.ses.docsite.guide_audit.findings) lists every ID with its
          severity, its meaning and its remedy. V(unreachable) and V(failed) occur in an audit only.
      type: str
      sample: version_2_password
    severity:
      description:
        - V(critical) if mail is not delivered or a secret is in danger, V(warning) if this can lead to something
          critical, V(notice) if nothing is at risk, but the configuration is untidy.
      type: str
      sample: warning
    config_directory:
      description: The instance's configuration directory. It is null for a finding about the whole host.
      type: str
      sample: /etc/postfix
    file:
      description: The file or directory that the finding is about.
      type: str
      sample: /etc/postfix/sasl_passwd
    key:
      description: The lookup key of the entry, or the server, that the finding is about. It may be null.
      type: str
      sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
    message:
      description: What is wrong, with the values of this host. What may be a secret is V(REDACTED).
      type: str
      sample: 'Line 1: version 2 password (not bound to a region); SES increasingly rejects these'
    remedy:
      description: What to do about it.
      type: str
      sample: >-
        To derive the password again for eu-west-1, run mailops.ses.postfix_relay or mailops.ses.postfix_sasl_passwd
        with access_key, secret_key and region
"""

import math
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._findings._left_overs import find_left_overs
from ..module_utils._findings._report import (
    report,
    report_on_all,
)
from ..module_utils._options import AWS_OPTIONS, POSTFIX_RELAY_INFO
from ..module_utils._payload import unpack
from ..module_utils._postfix._programs import (
    Postfix,
    PostfixError,
)
from ..module_utils._run_module import run_module
from ..module_utils._ses._candidate_digests import Candidates


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=POSTFIX_RELAY_INFO, supports_check_mode=True)
    run_module(module, run, {*AWS_OPTIONS, "candidates"})


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Look at the instances that the task asks for; returns the result."""
    candidates = _candidates(module.params)
    directory = module.params["config_directory"]
    probe_seconds = _probe_seconds(module)
    if directory:
        found = report(Postfix(module, directory), candidates, probe_seconds)
    else:
        found = report_on_all(Postfix(module), candidates, probe_seconds)
    # ansible-core tells every module where it has its files on this host.
    left_overs = find_left_overs(getattr(module, "_remote_tmp", None) or "")
    result = found.with_host(left_overs).make_result()
    return {"changed": False, "root": os.geteuid() == 0, **result}


def _probe_seconds(module: AnsibleModule) -> float | None:
    """How long a probe may take, None if there is to be none."""
    seconds: float = module.params["probe_timeout"]
    if not (0 < seconds < math.inf):
        raise PostfixError(f"probe_timeout must be greater than 0 (given: {seconds:g})")
    return seconds if module.params["probe"] and not module.check_mode else None


def _candidates(params: dict[str, t.Any]) -> Candidates:
    """The candidates, as digests of their passwords. Without an access key there is nothing to hand over."""
    # Taken out, because a failure in AnsibleModule itself puts all parameters into the result.
    payload, given = params.pop("secret_key"), params.pop("candidates")
    if payload is None and not given and params["access_key"] is None:
        return Candidates()
    return unpack("mailops.ses.postfix_relay_info", payload, Candidates)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ses_smtp_ping
short_description: Check whether Amazon SES accepts an SMTP login, and mail of a sender
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Logs in to the SMTP endpoint of Amazon SES from the managed host, whose firewall, name server and CA certificates
    count, and quits.
  - With O(sender) it sends one message, too, and reports what becomes of it. This shows that the sender is a verified
    identity and that the IAM user may send from it, which SES checks for each message and not at login. Without
    O(sender), and in check mode, it sends no mail.
  - The password is derived from the access key of an IAM user on the controller, or given. The AWS secret never leaves
    the controller.
  - The certificate is always verified. Neither the user name nor the password is sent to a server that does not offer
    TLS, or whose certificate can't be trusted.
  - A refusal is a failure that says what SES answered, what that usually means, and the remedy.
extends_documentation_fragment:
  - mailops.ses._attributes
  - mailops.ses._attributes.action_group
  - mailops.ses._attributes.pipelined
  - mailops.ses._credentials
  - mailops.ses._credentials.smtp_login
options:
  sender:
    description:
      - The address to send one message from. It is both the envelope sender and the header C(From).
      - SES accepts the message if the address or its domain is a verified identity in the region of the endpoint, the
        IAM user of the access key may send from it, and the account may send at all.
      - This does not show that SES accepts other recipients. The mailbox simulator is exempt from the sandbox, in which
        recipients have to be verified as well.
      - Mail Manager accepts a message before its rules are applied. A rule may still drop it, which this does not show.
      - Every run sends a message, and every retry after a refusal tries to. In check mode none is sent.
    type: str
  recipient:
    description:
      - The address to send the message to. Give a mailbox of your own to see what arrives, or to check that the account
        is out of the sandbox.
      - Without it, the message goes to the mailbox simulator of SES, V(success@simulator.amazonses.com).
      - Needs O(sender).
    type: str
  headers:
    description:
      - More headers of the message, by their names, for example C(X-SES-CONFIGURATION-SET) to check that the configuration
        set exists in the region.
      - The module writes C(From), C(To), C(Subject), C(Date), C(Message-ID), C(Auto-Submitted) and the headers of MIME
        itself. It is an error to give one of them, an address header such as C(Sender), a header twice, or a value with a
        line break or characters outside ASCII.
      - Needs O(sender).
    type: dict
  timeout:
    description:
      - How many seconds one attempt may take from the connection to the end, the message included.
      - The look-up of the host's name comes before that, and is limited by the managed host's resolver.
    type: float
    default: 10
  ca_file:
    description:
      - A file on the managed host with the certificates to trust, in PEM form.
      - Without it and O(ca_path), those that the managed host's Python trusts are used, usually of the package
        C(ca-certificates).
    type: path
  ca_path:
    description:
      - A directory on the managed host with the certificates to trust, with the links that C(openssl rehash) makes.
    type: path
  retries:
    description:
      - How often to try again after a refusal that may pass.
      - That is a connection that failed or timed out, a temporary answer other than that of a used-up daily quota, and the
        refusal of a well-formed user name and password, because SES needs up to half a minute to learn of a new access
        key. Everything else fails at once.
      - If the connection fails after the whole message was sent, SES may have accepted it. It is not sent again then.
    type: int
    default: 0
  delay:
    description:
      - How many seconds to wait before each retry.
    type: float
    default: 5
  fail:
    description:
      - Whether a refusal is a failure. With V(false) the task succeeds, and RV(ping) and RV(reason) tell.
      - Wrong options are a failure all the same.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    details: The module changes nothing. It logs in in C(check_mode) too, but sends no message.
  diff_mode:
    support: none
    details: The module changes nothing.
  idempotent:
    support: partial
    details: The module changes nothing. With O(sender), every run sends a message.
  platform:
    support: full
    platforms: posix
  action:
    support: full
notes:
  - When a login with O(username) and O(password) is refused, and the secret of that access key is in O(secret_key) or
    in the controller's environment, the message says which region the password belongs to.
  - That SES accepts the login does not mean that it accepts mail. It checks the permission C(ses:SendRawEmail) and the
    sender's identity for each message. Give O(sender) to check them.
  - The module checks one login. To find out which of several access keys a host uses, see the option O(mailops.ses.postfix_relay_info#module:candidates)
    of M(mailops.ses.postfix_relay_info). To check a sender with several keys, use C(loop).
seealso:
  - module: mailops.ses.ses_smtp_credentials
  - module: mailops.ses.postfix_relay
  - module: mailops.ses.postfix_sasl_passwd
  - ref: ansible_collections.mailops.ses.docsite.guide_answers
    description: Every answer of SES, every cause of a rejected login, and how to tell them apart.
  - name: Troubleshooting SMTP
    description: What SES answers, and what AWS says about it.
    link: https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html
"""

EXAMPLES = r"""
- name: Check that SES accepts the key from this host
  mailops.ses.ses_smtp_ping:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1

- name: Wait until SES knows a key that was made a moment ago
  mailops.ses.ses_smtp_ping:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
    retries: 6
    delay: 10

- name: Look which port the firewall lets through
  mailops.ses.ses_smtp_ping:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
    port: "{{ item }}"
    fail: false
  loop: [587, 2587, 465, 2465]
  register: ports

- name: Check that SES accepts mail of this sender, with the configuration set of the shop
  mailops.ses.ses_smtp_ping:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
    sender: orders@example.com
    headers:
      X-SES-CONFIGURATION-SET: shop

- name: Check a login that was derived elsewhere
  mailops.ses.ses_smtp_ping:
    username: "{{ billing_smtp_username }}"
    password: "{{ billing_smtp_password }}"
    region: eu-west-3
"""

RETURN = r"""
ping:
  description: Whether SES accepted the login and, with O(sender) and outside check mode, the message.
  type: bool
  returned: always
  sample: true
host:
  description: The name of the host.
  type: str
  returned: always
  sample: email-smtp.eu-west-1.amazonaws.com
port:
  description: The port.
  type: int
  returned: always
  sample: 587
address:
  description: The address that was used or, without a connection, tried last; null if the name has none.
  type: str
  returned: always
  sample: 192.0.2.25
tls_version:
  description: The version of TLS, null if it was not reached.
  type: str
  returned: always
  sample: TLSv1.3
mechanism:
  description: The mechanism of the login, V(PLAIN) or V(LOGIN), null if it was not reached.
  type: str
  returned: always
  sample: PLAIN
logged_in:
  description: Whether SES accepted the login, whatever became of the message.
  type: bool
  returned: always
  sample: true
message_id:
  description:
    - The ID that SES gave the message. SES writes it into the header C(Message-ID), its logs and its events.
    - It is null if no message was accepted, which includes check mode, or if the server told none.
  type: str
  returned: when O(sender) is given
  sample: 0102017033dbb64d-be13a01e-dbf1-44b7-b876-3622165dacc1-000000
elapsed:
  description: How many seconds the last attempt took.
  type: float
  returned: always
  sample: 0.214
attempts:
  description: How many attempts there were, at most one more than O(retries).
  type: int
  returned: always
  sample: 1
reason:
  description:
    - Why the login or the message failed. The R(guide to SES's answers,ansible_collections.mailops.ses.docsite.guide_answers)
      has the text, the meaning and the remedy of each.
    - V(credentials_invalid), V(version_2) (an outdated password), V(not_subscribed) (an AWS account without SES),
      V(too_many_connections), V(temporary_failure), V(tls_unavailable), V(protocol_error) and V(idle_timeout) are answers
      to the connection or the login.
    - V(identity_not_verified), V(permission_missing), V(configuration_set), V(account_paused), V(throttled),
      V(quota_exceeded), V(mail_from_domain), V(invalid_sender), V(invalid_recipient), V(invalid_address),
      V(duplicate_header), V(missing_header), V(malformed_header), V(message_too_large), V(too_many_recipients) and
      V(too_many_messages) are answers to the message.
    - V(login_required), V(tls_required) and V(tls_too_old) are answers to a client without a login or TLS, which this module
      does not cause.
    - V(unknown_answer) is an answer in no list. RV(answer) has its text.
    - V(name_resolution), V(port_blocked) (no answer to the connection), V(connection_refused), V(unreachable),
      V(timeout) (connected, but too slow) or V(connection_closed) is about the network.
    - V(tls_not_offered), V(tls), V(certificate) (can't be trusted), V(ca) (O(ca_file) or O(ca_path) can't be used),
      V(no_mechanism) or V(not_smtp) is about what the server speaks.
  type: str
  returned: when the login or the message failed
  sample: identity_not_verified
answer:
  description: What the server answered, without secrets, null if it is not an answer that made the attempt fail.
  type: str
  returned: when the login or the message failed
  sample: 535 Authentication Credentials Invalid
msg:
  description: What happened, what it usually means, and the remedy.
  type: str
  returned: when the login or the message failed, or when Mail Manager accepted the message
  sample: email-smtp.eu-west-1.amazonaws.com port 587 answered "535 Authentication Credentials Invalid". Usual causes...
"""

import dataclasses
import functools

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._options import LOGIN_OPTIONS, SES_SMTP_PING
from ..module_utils._payload import PayloadError, unpack
from ..module_utils._ses._mail_manager import MAIL_MANAGER_ACCEPTS, is_mail_manager_host
from ..module_utils._smtp._login import (
    LoginRefused,
    log_in,
    log_in_with_retries,
)
from ..module_utils._smtp._message import MessageError, make_message
from ..module_utils._smtp._server import SmtpLogin


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SES_SMTP_PING, supports_check_mode=True)
    params = module.params
    # From ansible-core 2.22 on, a module masks nothing in it, the controller only what it shows.
    reported = {name: params[name] for name in SES_SMTP_PING if name not in LOGIN_OPTIONS}
    try:
        # Taken out, because a failure in AnsibleModule itself puts all parameters into the result.
        login = unpack("mailops.ses.ses_smtp_ping", params.pop("password"), SmtpLogin)
    except PayloadError as exc:
        module.fail_json(msg=str(exc), invocation={"module_args": reported})
    reported["username"] = login.username
    reported["endpoint"] = login.server.host
    reported.update(port=login.server.port, tls=login.server.tls)
    invocation = {"module_args": reported}
    if params["timeout"] <= 0 or params["retries"] < 0 or params["delay"] < 0:
        module.fail_json(
            msg="timeout must be more than 0, retries and delay at least 0", invocation=invocation
        )
    try:
        message = make_message(params["sender"], params["recipient"], params["headers"])
    except MessageError as exc:
        module.fail_json(msg=f"{exc}. Nothing was sent", invocation=invocation)
    attempt = functools.partial(
        log_in,
        login,
        message=None if module.check_mode else message,
        timeout=params["timeout"],
        ca_file=params["ca_file"],
        ca_path=params["ca_path"],
    )
    try:
        outcome, refusal = log_in_with_retries(attempt, params["retries"], params["delay"]), {}
    except LoginRefused as refused:
        outcome = refused.outcome
        refusal = {"msg": refused.message, "reason": refused.reason, "answer": refused.answer}
    result = {
        "changed": False,
        "invocation": invocation,
        **dataclasses.asdict(outcome),
        **refusal,
    }
    result["ping"] = result.pop("accepted")
    if message is None:
        del result["message_id"]
    elif not refusal and not module.check_mode and is_mail_manager_host(login.server.host):
        result["msg"] = f"The message was accepted. {MAIL_MANAGER_ACCEPTS}"
    if refusal and params["fail"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

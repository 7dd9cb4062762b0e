#!/usr/bin/python
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ses_smtp_credentials
short_description: Turn an IAM access key, or a ready-made login, into Amazon SES SMTP credentials
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Derives the user name and password with which Amazon SES takes mail over SMTP from the access key of an IAM user,
    and says which host and port they are for.
  - With O(username), O(password) and O(endpoint) it gives the same for a login that exists already, such as one of Mail
    Manager, whose password is not derived.
  - It runs wholly on the controller. It needs neither a connection to the managed host nor Python there.
extends_documentation_fragment:
  - mailops.ses._attributes
  - mailops.ses._attributes.action_group
  - mailops.ses._credentials
  - mailops.ses._credentials.smtp_login
options:
  reveal:
    description:
      - Whether the result, with the password, may be shown.
      - With V(false) the result is hidden at every verbosity, as with C(no_log), while C(register) gets it in full.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
  action:
    support: full
notes:
  - From ansible-core 2.22 on the password is also masked wherever else a task would show it, unless O(reveal=true).
    With an older ansible-core a task that shows what C(register) got shows the password.
seealso:
  - plugin: mailops.ses.ses_smtp_password
    plugin_type: filter
  - module: mailops.ses.ses_smtp_ping
  - module: mailops.ses.postfix_relay
  - module: mailops.ses.postfix_sasl_passwd
  - ref: ansible_collections.mailops.ses.docsite.guide_credentials
    description: What SES wants, what the IAM user needs, and what cannot work.
  - ref: ansible_collections.mailops.ses.docsite.guide_secrets
    description: How the key gets in, and what is shown where.
  - name: Obtaining Amazon SES SMTP credentials by converting existing AWS credentials
    description: How AWS documents the conversion.
    link: https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html
"""

EXAMPLES = r"""
- name: Derive the SMTP credentials of a vaulted key
  mailops.ses.ses_smtp_credentials:
    access_key: "{{ ses_access_key_id }}"
    secret_key: "{{ ses_secret_access_key }}"
    region: eu-west-1
  register: ses

- name: Write the settings of an application
  ansible.builtin.copy:
    content: |
      SMTP_URL={{ ses.url }}
    dest: /etc/app.env
    mode: '0600'
  diff: false

- name: Use TLS from the first byte, and the key in the environment variables that the AWS command line uses
  mailops.ses.ses_smtp_credentials:
    region: eu-west-1
    tls: wrapper
  register: ses_wrapper

- name: Give the URL of a Mail Manager login
  mailops.ses.ses_smtp_credentials:
    username: inp-example1234567890abc
    password: "{{ mail_manager_password }}"
    endpoint: abcdefgh.ijklmnop.mail-manager-smtp.amazonaws.com
  register: mail_manager
"""

RETURN = r"""
username:
  description: The SMTP user name. It is the access key ID unless O(username) is given.
  type: str
  returned: success
  sample: AKIAIOSFODNN7EXAMPLE
password:
  description: The SMTP password.
  type: str
  returned: success
  sample: BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk
host:
  description: The name of the host that takes the mail.
  type: str
  returned: success
  sample: email-smtp.eu-west-1.amazonaws.com
port:
  description: The port that takes the mail.
  type: int
  returned: success
  sample: 587
relayhost:
  description: Host and port as Postfix's C(relayhost) and password maps name them.
  type: str
  returned: success
  sample: '[email-smtp.eu-west-1.amazonaws.com]:587'
region:
  description: The region. It is null if only an O(endpoint) is known.
  type: str
  returned: success
  sample: eu-west-1
system:
  description:
    - V(iam) for SES's SMTP endpoints, whose passwords are derived from access keys, V(mail_manager) for Mail Manager, null
      for a login to another server.
  type: str
  returned: success
  sample: iam
version:
  description: The version of the password, null if it is not derived from an access key.
  type: int
  returned: success
  sample: 4
tls:
  description: How TLS begins, V(starttls) or V(wrapper).
  type: str
  returned: success
  sample: starttls
url:
  description:
    - The login as a URL, with C(smtp) for V(starttls) and C(smtps) for V(wrapper). The password is percent-encoded.
  type: str
  returned: success
  sample: smtp://AKIAIOSFODNN7EXAMPLE:BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk@email-smtp.eu-west-1.amazonaws.com:587
"""

# There is no code here: the action plugin of the same name does it all, on the controller.

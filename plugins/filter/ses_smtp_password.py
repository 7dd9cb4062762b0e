# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ses_smtp_password
short_description: Derive the Amazon SES SMTP password from an IAM secret access key
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Amazon SES does not take an IAM secret access key over SMTP, but a password derived from it. This filter derives it.
  - The SMTP user name is the access key ID, unchanged.
  - A password of version 4, the one that SES wants today, is bound to a region. So a region asks for version 4,
    and no region means version 2, which SES has been rejecting progressively since March 2021.
options:
  _input:
    description:
      - The secret access key of an IAM user, as it comes from a vault.
      - A value that is certainly no secret access key is an error with the remedy, for example JSON text, an ARN or a
        template that was not rendered. Any other value without the form of IAM's secrets is a warning.
      - An undefined value is passed on as it is, so that P(ansible.builtin.default#filter) works after this filter.
    type: str
    required: true
  region:
    description:
      - The region that mail is sent through, for example V(eu-west-1).
      - Needed for O(version=4), of no effect with O(version=2).
    type: str
  version:
    description:
      - The version of the password.
      - Without it, the version is V(4) if there is an O(region), else V(2), with a warning. Say O(version=2) to silence that.
    type: int
    choices: [2, 4]
  endpoint:
    description:
      - The name of the host that the password is for, if that is not the region's own SMTP endpoint.
      - It makes a region acceptable in which AWS lists no SMTP endpoint. It plays no part in the derivation.
      - The host of a Mail Manager ingress endpoint is an error, because its password is not derived from an access key.
    type: str
notes:
  - Temporary credentials (of a role, of SSO or STS) can't be used over SMTP.
  - From ansible-core 2.22 on the password is masked in the output of every task. With an older ansible-core a task
    that writes it into a file shows it with C(--diff), unless the task sets C(diff) to V(false).
positional: region, version
seealso:
  - plugin: mailops.ses.ses_smtp_endpoint
    plugin_type: filter
  - module: mailops.ses.ses_smtp_credentials
  - ref: ansible_collections.mailops.ses.docsite.guide_credentials
    description: What SES wants, what the IAM user needs, and what cannot work.
  - ref: ansible_collections.mailops.ses.docsite.guide_secrets
    description: How the key gets in, and what is shown where.
  - name: Obtaining Amazon SES SMTP credentials by converting existing AWS credentials
    description: How AWS documents the conversion.
    link: https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html
"""

EXAMPLES = r"""
- name: Write Postfix's password file
  ansible.builtin.copy:
    content: >
      [{{ 'eu-west-1' | mailops.ses.ses_smtp_endpoint }}]:587
      {{ ses_access_key_id }}:{{ ses_secret_access_key | mailops.ses.ses_smtp_password(region='eu-west-1') }}
    dest: /etc/postfix/sasl_passwd
    owner: root
    group: root
    mode: '0600'
  diff: false

- name: Compile it, because Postfix reads the compiled table
  ansible.builtin.command:
    cmd: postmap /etc/postfix/sasl_passwd
  changed_when: true

- name: The outdated format, for an installation that still holds it
  ansible.builtin.set_fact:
    old_password: "{{ ses_secret_access_key | mailops.ses.ses_smtp_password(version=2) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The SMTP password, 44 characters of base64.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ..module_utils._ses._regions import region_warning
from ..module_utils._ses._smtp_password import SesSmtpError, derive_password, find_password_version
from ..plugin_utils._secret_warning import (
    warn_of_secret_key,
)
from ..plugin_utils._templating import (
    decrypt,
    find_undefined,
    register_secret,
)

_NAME = "mailops.ses.ses_smtp_password"


def ses_smtp_password(
    secret_key: t.Any, region: t.Any = None, version: t.Any = None, endpoint: t.Any = None
) -> t.Any:
    """Return the SMTP password (str) of ``secret_key``, or the first undefined argument."""
    undefined = find_undefined(secret_key, region, version, endpoint)
    if undefined is not None:
        return undefined
    secret_key, region = decrypt(secret_key), decrypt(region)
    try:
        password = derive_password(secret_key, region, version, endpoint=endpoint)
    except SesSmtpError as exc:
        # The cause would be shown too, from ansible-core 2.19 on; it says the same.
        raise AnsibleFilterError(f"{_NAME}: {exc}") from None
    warn_of_secret_key(secret_key)
    warning = None
    if find_password_version(password) == 4:
        warning = region_warning(region)
    elif version is None:
        warning = (
            "without a region this is a version 2 password, which SES rejects more and more. "
            "Give a region for version 4, or say version=2 if that is what you want"
        )
    if warning:
        Display().warning(f"{_NAME}: {warning}.")
    return register_secret(password)


class FilterModule:
    """The filter mailops.ses.ses_smtp_password."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"ses_smtp_password": ses_smtp_password}

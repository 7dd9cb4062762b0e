# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ses_smtp_password_info
short_description: Tell what an Amazon SES SMTP password is
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Tells of a password that is stored somewhere which version of SES's passwords it is, and with the secret access key
    whether it was derived from that, and for which region.
options:
  _input:
    description:
      - What is stored as the SMTP password. It may be anything.
      - An undefined value is passed on as it is, so that P(ansible.builtin.default#filter) works after this filter.
    type: str
    required: true
  secret_key:
    description:
      - The secret access key that the password may have been derived from.
      - Without it, only the form of the password is looked at.
    type: str
positional: secret_key
seealso:
  - plugin: mailops.ses.ses_smtp_password
    plugin_type: filter
  - module: mailops.ses.postfix_relay_info
  - ref: ansible_collections.mailops.ses.docsite.guide_answers
    description: Which password SES refuses, and why.
"""

EXAMPLES = r"""
- name: Show the version of a stored password
  ansible.builtin.debug:
    msg: "{{ (billing_smtp_password | mailops.ses.ses_smtp_password_info).version }}"
    # => 4

- name: Show the region that it was derived for
  ansible.builtin.debug:
    msg: "{{ billing_smtp_password | mailops.ses.ses_smtp_password_info(ses_secret_access_key) }}"
    # => {"version": 4, "region": "eu-west-3", "matches": true}
"""

RETURN = r"""
_value:
  description: What the password is. Neither it nor the secret is in there.
  type: dict
  contains:
    version:
      description: V(2) or V(4), by its form, null if it is not a password of SES.
      type: int
    region:
      description: The region that a password of version 4 was derived for. It is null without O(secret_key), and if that does not match.
      type: str
    matches:
      description: Whether it was derived from O(secret_key), null without that.
      type: bool
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._ses._smtp_password import (
    SesSmtpError,
    derive_password,
    find_password_version,
    find_region_of_password,
    type_name,
)
from ..plugin_utils._secret_warning import (
    warn_of_secret_key,
)
from ..plugin_utils._templating import (
    decrypt,
    find_undefined,
)

_NAME = "mailops.ses.ses_smtp_password_info"


def ses_smtp_password_info(password: t.Any, secret_key: t.Any = None) -> t.Any:
    """Return what ``password`` is (dict), or the first undefined argument."""
    undefined = find_undefined(password, secret_key)
    if undefined is not None:
        return undefined
    password, secret_key = decrypt(password), decrypt(secret_key)
    if not isinstance(password, str):
        raise AnsibleFilterError(
            f"{_NAME}: the password must be a string, not {type_name(password)}"
        )
    info: dict[str, t.Any] = {
        "version": find_password_version(password),
        "region": None,
        "matches": None,
    }
    if secret_key is None:
        return info
    try:
        info["region"] = find_region_of_password(secret_key, password)
        version_2 = derive_password(secret_key, version=2)
    except SesSmtpError as exc:
        # ansible-core would show the cause too.
        raise AnsibleFilterError(f"{_NAME}: {exc}") from None
    warn_of_secret_key(secret_key)
    info["matches"] = info["region"] is not None or password == version_2
    return info


class FilterModule:
    """The filter mailops.ses.ses_smtp_password_info."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"ses_smtp_password_info": ses_smtp_password_info}

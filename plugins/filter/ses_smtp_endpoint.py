# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ses_smtp_endpoint
short_description: Name the Amazon SES SMTP endpoint of a region
version_added: 0.1.0
author:
  - mailops contributors (@mailops)
description:
  - Turns the name of an AWS region into the name of the host that takes mail for Amazon SES there.
options:
  _input:
    description:
      - The name of the region, for example V(eu-west-1).
      - An undefined value is passed on as it is, so that P(ansible.builtin.default#filter) works after this filter.
    type: str
    required: true
  fips:
    description:
      - Whether to name the endpoint with FIPS 140 validated cryptography, which some regions have.
    type: bool
    default: false
  dualstack:
    description:
      - Whether to name the endpoint that has IPv6 addresses besides IPv4.
    type: bool
    default: false
positional: fips, dualstack
seealso:
  - plugin: mailops.ses.ses_smtp_password
    plugin_type: filter
  - module: mailops.ses.ses_smtp_credentials
  - ref: ansible_collections.mailops.ses.docsite.guide_credentials
    description: What SES wants, what the IAM user needs, and what cannot work.
  - name: Amazon SES endpoints and quotas
    description: AWS's list of endpoints.
    link: https://docs.aws.amazon.com/general/latest/gr/ses.html
"""

EXAMPLES = r"""
- name: Show where mail goes
  ansible.builtin.debug:
    msg: "{{ 'eu-west-1' | mailops.ses.ses_smtp_endpoint }}"
    # => "email-smtp.eu-west-1.amazonaws.com"

- name: Show the endpoint with FIPS cryptography and IPv6
  ansible.builtin.debug:
    msg: "{{ 'us-east-1' | mailops.ses.ses_smtp_endpoint(fips=true, dualstack=true) }}"
    # => "email-smtp-fips.us-east-1.api.aws"
"""

RETURN = r"""
_value:
  description: The host name.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ..module_utils._ses._regions import region_warning, smtp_endpoint
from ..module_utils._ses._smtp_password import SesSmtpError
from ..plugin_utils._templating import (
    decrypt,
    find_undefined,
)

_NAME = "mailops.ses.ses_smtp_endpoint"


def ses_smtp_endpoint(region: t.Any, fips: t.Any = False, dualstack: t.Any = False) -> t.Any:
    """Return the host name (str) of SES in ``region``, or the first undefined argument."""
    undefined = find_undefined(region, fips, dualstack)
    if undefined is not None:
        return undefined
    region = decrypt(region)
    try:
        host = smtp_endpoint(region, fips=fips, dualstack=dualstack)
    except SesSmtpError as exc:
        raise AnsibleFilterError(f"{_NAME}: {exc}") from None
    warning = region_warning(region)
    if warning:
        Display().warning(f"{_NAME}: {warning}.")
    return host


class FilterModule:
    """The filter mailops.ses.ses_smtp_endpoint."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"ses_smtp_endpoint": ses_smtp_endpoint}

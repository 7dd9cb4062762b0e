# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

from __future__ import annotations


class ModuleDocFragment:
    """The options that name an IAM key and an SES SMTP endpoint."""

    DOCUMENTATION = r"""
options:
  access_key:
    description:
      - The access key ID of an IAM user. It is the SMTP user name as well.
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
  region:
    description:
      - The region that mail is sent through, for example V(eu-west-1). A password of version 4 is bound to it.
      - Without it, the controller's environment variable E(AWS_REGION) is used, or else E(AWS_DEFAULT_REGION).
    type: str
    aliases: [aws_region]
  version:
    description:
      - The version of the SMTP password, V(4) if not said.
      - SES has been rejecting V(2), the one without a region, progressively since March 2021.
    type: int
    choices: [2, 4]
    aliases: [ses_smtp_version]
  endpoint:
    description:
      - The name of the host that takes the mail, if it is not the SMTP endpoint of O(region).
      - The host of a Mail Manager ingress endpoint (C(....mail-manager-smtp.amazonaws.com)) needs a login that exists
        already, because its password is not derived from an access key.
    type: str
  port:
    description:
      - The port that takes the mail. Without it, O(tls) decides.
      - SES has V(25), V(587) and V(2587) for STARTTLS, V(465) and V(2465) for TLS from the first byte.
      - Mail Manager has V(587) and V(25), both for STARTTLS.
    type: int
  tls:
    description:
      - How TLS begins. Without it, O(port) decides.
      - V(starttls) upgrades a plain connection. The port is V(587) if none is given.
      - V(wrapper) speaks TLS from the first byte. The port is V(465) if none is given.
    type: str
    choices: [starttls, wrapper]
  fips:
    description:
      - Whether to use the endpoint with FIPS 140 validated cryptography, which some regions have.
    type: bool
  dualstack:
    description:
      - Whether to use the endpoint that has IPv6 addresses besides IPv4.
    type: bool
"""

    # For the modules that write a login or log in.
    SMTP_LOGIN = r"""
options:
  username:
    description:
      - The SMTP user name, together with O(password) and instead of O(access_key) and O(secret_key).
      - For Mail Manager it is the ID of the ingress endpoint (C(inp-...)).
    type: str
  password:
    description:
      - An SMTP password that is derived already, or the one that was chosen for a Mail Manager ingress endpoint, together
        with O(username).
    type: str
"""

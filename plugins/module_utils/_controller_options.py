# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The options that a module's action plugin answers on the controller and never hands on.

The module declares them because its documentation has them; `plugin_utils/_credentials.py` has
what the controller makes of them.
"""

from __future__ import annotations

import typing as t

__all__ = ["CONTROLLER_OPTIONS"]

CONTROLLER_OPTIONS: dict[str, dict[str, t.Any]] = {
    "access_key": {
        "type": "str",
        "no_log": False,  # a user name
        "aliases": ["aws_access_key_id", "aws_access_key"],
    },
    "secret_key": {
        "type": "str",
        "no_log": True,
        "aliases": ["aws_secret_access_key", "aws_secret_key"],
    },
    "region": {"type": "str", "aliases": ["aws_region"]},
    "version": {"type": "int", "choices": [2, 4], "aliases": ["ses_smtp_version"]},
    "endpoint": {"type": "str"},
    "port": {"type": "int"},
    "tls": {"type": "str", "choices": ["starttls", "wrapper"]},
    "fips": {"type": "bool"},
    "dualstack": {"type": "bool"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}

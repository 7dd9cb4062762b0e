# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the SMTP password of AWS_SECRET_ACCESS_KEY for the region in the first argument.

A program of the kind that AWS's page has people run, for the benchmark to compare with.
"""

import base64
import hashlib
import hmac
import os
import sys

key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode("utf-8")
for message in ("11111111", sys.argv[1], "ses", "aws4_request", "SendRawEmail"):
    key = hmac.new(key, message.encode("utf-8"), hashlib.sha256).digest()
print(base64.b64encode(b"\x04" + key).decode("utf-8"))

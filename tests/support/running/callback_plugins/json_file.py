# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What json_lines tells, in a file and beside the callback that has the screen."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.mailops.ses.tests.support.running.callback_plugins import json_lines

DOCUMENTATION = """
name: json_file
type: notification
short_description: Every event with its whole result, a line of JSON each, in the file JSON_FILE
description: For the tests of mailops.ses.
"""


class CallbackModule(json_lines.CallbackModule):
    """Appends to the file that the environment variable ``JSON_FILE`` names."""

    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "json_file"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, line: str) -> None:
        with Path(os.environ["JSON_FILE"]).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about a whole host: files of tasks, and hosts without an answer."""

from __future__ import annotations

from dataclasses import replace

from ._finding import Kind

__all__ = [
    "FAILED",
    "LEFT_OVER_MODULE",
    "LEFT_OVER_RESULT",
    "LEFT_OVER_SEARCH_INCOMPLETE",
    "MALFORMED_ANSWER",
    "UNREACHABLE",
]

LEFT_OVER_MODULE = Kind(
    "left_over_module",
    "critical",
    "A file that an interrupted task left may hold an SMTP password, which the owner of the file"
    " can read.",
    "An interrupted task of mailops.ses.{module} left this file. Its options may include an SMTP"
    " password, which the owner of the file can read. If the task is still running, ignore this"
    " finding",
    "Run: rm -r {path}. If people other than the administrators of this host can log in as the"
    " owner of the file, replace the IAM access key: run the playbook mailops.ses.rotate",
)
LEFT_OVER_RESULT = replace(
    LEFT_OVER_MODULE,
    meaning="The result of an asynchronous task contains an SMTP password, which the owner of the"
    " file can read.",
    message="The result of an asynchronous task contains an SMTP password",
)
LEFT_OVER_SEARCH_INCOMPLETE = Kind(
    "left_over_search_incomplete",
    "warning",
    "The search for files that interrupted tasks left was stopped: there are too many files, or it"
    " took too long.",
    "The search for files that interrupted tasks left stopped here: there are too many files, or it"
    " took longer than {seconds:g} s",
    "Remove the files that are no longer needed, and run this module again",
)
UNREACHABLE = Kind(
    "unreachable",
    "unknown",
    "Ansible could not connect to the host.",
    "{problem}",
    "Make sure Ansible can connect to the host, and audit it again",
)
FAILED = Kind(
    "failed",
    "unknown",
    "The module failed on the host, for example because Postfix is not installed.",
    "{problem}",
    "Correct what the message says, and audit the host again",
)
MALFORMED_ANSWER = Kind(
    "failed",
    "unknown",
    "The host's answer is malformed or too large: more than 100 instances, 10,000 entries or 10,000"
    " findings, or a text of more than 4096 characters.",
    "The host's answer is not one of postfix_relay_info: {problem}",
    "Run mailops.ses.postfix_relay_info on this host alone, and correct what makes its result differ",
)

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

from __future__ import annotations


class ModuleDocFragment:
    """What a plugin supports, as the attributes of its documentation."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what it would change, without changing anything.
  diff_mode:
    description: Returns what has changed, or would change in C(check_mode), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
      - This assumes that nothing else has changed what the module works on in between.
  platform:
    description: The operating systems that the module runs on.
  action:
    description: Has an action plugin of the same name, which does its part on the controller.
  action_group:
    description:
      - Belongs to the action group, so that C(module_defaults) can give the group's common options once.
      - A task's own option replaces a default under any of its names. It also replaces a default that excludes it, such
        as a C(port) that does not go with its C(tls).
      - Half of a default key is never completed with half of the task's. Give both C(access_key) and C(secret_key) in a
        task that uses another key.
"""

    # Used by modules that the action group mailops.ses.ses lists.
    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    support: full
    membership:
      - mailops.ses.ses
"""

    # Used by modules that get an SMTP password.
    PIPELINED = r"""
options: {}
notes:
  - The SMTP password reaches the managed host by pipelining, even if C(pipelining) is off. With C(requiretty) in sudoers
    the module fails, unless you set the variable C(mailops_ses_pipelining) to V(false). See
    R(where the secret lives,ansible_collections.mailops.ses.docsite.guide_secrets) for the risk, and for C(async).
"""

    # Used by modules that replace files of Postfix's.
    TRANSACTION = r"""
options: {}
notes:
  - All files are replaced, or none. A run that is killed is finished by the next one. Ctrl-C waits until the files are
    replaced. What can't be cleaned up after that is a warning, and the next run does it.
  - Other processes may change the same files. The module compares each file with what it has read just before it replaces
    it, and plans again if the file has changed. After five such changes in a row it fails. Between the comparison and the
    replacement, mostly less than 20 microseconds, a change can still be lost, and so can one by a program that keeps the
    old file open.
"""

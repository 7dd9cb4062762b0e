# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

from __future__ import annotations


class ModuleDocFragment:
    """The options of the modules that write Postfix's password map."""

    DOCUMENTATION = r"""
options:
  config_directory:
    description:
      - The configuration directory of the Postfix instance, if it is not the default one.
    type: path
  map_type:
    description:
      - The type of the table. Without it, the instance's C(default_database_type).
      - V(texthash) has no compiled table, and Postfix reads it only when its processes start.
    type: str
    choices: [btree, cdb, hash, lmdb, texthash]
  owner:
    description: The user that owns the source and the table.
    type: str
    default: root
  group:
    description: The group of the source and the table.
    type: str
    default: root
  mode:
    description:
      - The mode of the source and the table, an octal number (quote it) or symbolic, as M(ansible.builtin.file) has it.
      - A mode that lets others than root and Postfix read or change the passwords is an error, as
        M(mailops.ses.postfix_relay_info) reports such files. V(0640) needs O(group) to be C(postfix) or C(root).
      - A number without quotes is an error unless YAML has read it as octal, such as V(0600). V(600) is not.
    type: raw
    default: '0600'
  seuser:
    description: The user part of the SELinux context. V(_default) takes the policy's.
    type: str
  serole:
    description: The role part of the SELinux context. V(_default) takes the policy's.
    type: str
  setype:
    description: The type part of the SELinux context. V(_default) takes the policy's.
    type: str
  selevel:
    description: The level part of the SELinux context. V(_default) takes the policy's.
    type: str
"""

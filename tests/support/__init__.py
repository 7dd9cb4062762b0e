# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers that the tests, the demo and the benchmarks share: a stand-in for Amazon SES, a test
certificate authority, a scratch Postfix, and ways to run Ansible's real programs.

Nothing here imports from the collection's plugins, so that nothing here can share their mistakes.
"""

from __future__ import annotations

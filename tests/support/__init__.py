# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers that the tests, the demo and the benchmarks share, by what they are about: a stand-in for
Amazon SES, a real Postfix, whole hosts, running Ansible's programs.

Only in_process, and modules that start a plugin by its name, use the collection's plugins, so that
nothing else here can share their mistakes. The project's own tools are in tests/tooling.
"""

from __future__ import annotations

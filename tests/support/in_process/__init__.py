# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules, actions and parts of them in this process, on a Postfix in miniature.

These alone use the collection's plugins."""

from __future__ import annotations

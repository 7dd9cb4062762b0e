# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench`: what the collection costs, as ratios to something in the same run."""

from __future__ import annotations

from . import bench_derivation, bench_password_map

if __name__ == "__main__":
    bench_derivation.main()
    bench_password_map.main()

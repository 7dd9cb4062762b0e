# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench`: what the collection costs, as ratios to something in the same run.

The arguments are the parts to run, by name; without any, all are.
"""

from __future__ import annotations

import sys

from . import bench_audit, bench_derivation, bench_fleet, bench_password_map, bench_relay

PARTS = {
    "derivation": bench_derivation.main,
    "map": bench_password_map.main,
    "relay": bench_relay.main,
    "fleet": bench_fleet.main,
    "audit": bench_audit.main,
}


def main(names: list[str]) -> None:
    """Run the parts."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of Debian's scripts is told the instance that is started for its proof."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay import _running

if t.TYPE_CHECKING:
    from pathlib import Path

UP_TO_DEBIAN_12 = '#! /bin/sh -e\nINSTANCE="$1"\nSYNC_CHROOT="y"\n'
FROM_DEBIAN_13 = '#! /bin/sh -e\n[ -f "$MAIL_CONFIG/main.cf" ] && [ $# = 0 ] || exit 1\n'


@pytest.mark.parametrize(
    ("text", "expected"), [(UP_TO_DEBIAN_12, True), (FROM_DEBIAN_13, False), (None, False)]
)
def test_which_script_takes_an_instance(tmp_path: Path, text: str | None, expected: bool) -> None:
    script = tmp_path / "configure-instance.sh"
    if text is not None:
        script.write_text(text)
    assert _running.takes_an_instance(str(script)) is expected

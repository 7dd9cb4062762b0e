# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation site that the nox session ``docs`` has built, where SES_DOCS_SITE says."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.browser import Browser


@pytest.fixture(name="site", scope="session")
def fixture_site() -> Path:
    """The folder with the pages."""
    return Path(os.environ["SES_DOCS_SITE"])


@pytest.fixture(name="browser", scope="session")
def fixture_browser() -> t.Iterator[Browser]:
    """One browser for all pages."""
    with Browser() as browser:
        yield browser

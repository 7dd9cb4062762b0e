# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every page of the site in a real browser: on a desk and on a phone, in light and in dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.browser import Browser

pytestmark = pytest.mark.browser

DESK, PHONE = 1280, 360
BROKEN_IMAGES = (
    "return [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
)
#: The theme hides what is wider than the window instead of having it scrolled; code has a bar of its own.
CUT_OFF = """
const edge = document.documentElement.clientWidth + 1;
return [...document.querySelectorAll('article *')]
  .filter(e => e.getBoundingClientRect().right > edge && !e.closest('pre'))
  .map(e => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
"""
#: Lines of a drawing that end outside of the drawing, and how big its smallest letters are shown.
DRAWING = """
const drawing = document.querySelector('svg[role=img]');
const right = drawing.getBoundingClientRect().right;
const texts = [...drawing.querySelectorAll('text')];
const scale = drawing.getScreenCTM().a;
return {
  lines: texts.length,
  outside: texts.filter(e => e.getBoundingClientRect().right > right - 10 * scale)
                .map(e => e.textContent),
  smallest: scale * Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
  colour: getComputedStyle(texts[0]).fill,
  page: getComputedStyle(document.body).color,
};
"""


def looks(site: Path) -> list[Path]:
    found = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    assert len(found) > 10
    return found


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_pages_look_right(site: Path, browser: Browser, *, width: int) -> None:
    wrong: dict[str, object] = {}
    for path in looks(site):
        browser.open(path, width)
        found = {
            "broken images": browser.evaluate(BROKEN_IMAGES),
            "wider than the window by": browser.overflow(),
            "cut off": browser.evaluate(CUT_OFF),
        }
        asked = browser.requests()
        found["asks for"] = [url for url in asked if not url.startswith(("file:///", "data:"))]
        for dark in (True, False):
            browser.resize(width, dark=dark)
            # For people to look at.
            if pictures := os.environ.get("SES_DOCS_PICTURES"):
                name = f"{path.stem}-{width}-{'dark' if dark else 'light'}.png"
                browser.screenshot(Path(pictures) / name)
        found["console"] = browser.console()
        assert asked
        if any(found.values()):
            wrong[str(path.relative_to(site))] = {what: so for what, so in found.items() if so}
    assert wrong == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_drawing_can_be_read(site: Path, browser: Browser, *, width: int, dark: bool) -> None:
    browser.open(site / "docsite" / "guide_secrets.html", width)
    browser.resize(width, dark=dark)
    drawing = browser.evaluate(DRAWING)
    assert drawing["lines"] > 10
    assert drawing["outside"] == []
    assert drawing["smallest"] > 11
    assert drawing["colour"] == drawing["page"]

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every link within the site leads somewhere, and no page needs anything from elsewhere."""

from __future__ import annotations

import typing as t
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself, and where its address is.
FETCHED = {"img": "src", "script": "src", "source": "src", "iframe": "src", "link": "href"}
#: Relations of a link element that say something about a page, for nobody to fetch.
SAID = {"canonical", "next", "prev", "search", "index"}


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        address = given.get(FETCHED.get(tag, ""))
        if address and given.get("rel") not in SAID:
            self.loads.append(address)


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def dead(link: str, path: Path, known: t.Mapping[Path, Page]) -> bool:
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return True
    fragment = unquote(parts.fragment)
    return bool(fragment) and target in known and fragment not in known[target].anchors


def test_every_internal_link_leads_somewhere(site: Path) -> None:
    known = pages(site)
    internal = {
        (path, link)
        for path, page in known.items()
        for link in page.links
        if not urlsplit(link).scheme and link not in ("#", "")
    }
    assert len(internal) > 500
    assert sorted((path.name, link) for path, link in internal if dead(link, path, known)) == []


def test_every_external_link_is_of_the_web_and_encrypted(site: Path) -> None:
    links = {link for page in pages(site).values() for link in page.links if urlsplit(link).scheme}
    assert any(link.startswith("https://docs.aws.amazon.com/") for link in links)
    assert sorted(link for link in links if not link.startswith("https://")) == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = [(path, load) for path, page in pages(site).items() for load in page.loads]
    assert any(load.endswith(".css") or ".css?" in load for _path, load in loads)
    elsewhere = [load for _path, load in loads if urlsplit(load).scheme or load.startswith("//")]
    assert elsewhere == []
    missing = [load for path, load in loads if not (path.parent / urlsplit(load).path).is_file()]
    assert missing == []


def test_every_plugin_and_every_guide_has_its_page(site: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    guides = {f"docsite/{path.stem}" for path in root.glob("docs/docsite/rst/*.rst")}
    plugins = {
        *(f"{path.stem}_module" for path in root.glob("plugins/modules/[!_]*.py")),
        *(f"{path.stem}_filter" for path in root.glob("plugins/filter/[!_]*.py")),
        *(f"{path.name}_role" for path in root.glob("roles/*")),
    }
    assert guides
    assert plugins
    linked = Page(site / "index.html").links
    assert {f"{name}.html" for name in guides | plugins} <= {link.split("#")[0] for link in linked}

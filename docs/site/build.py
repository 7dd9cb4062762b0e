# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the documentation site: ``python docs/site/build.py FOLDER`` makes FOLDER/html.

To be run in a copy of the checkout at ansible_collections/mailops/ses, in the environment of
tests/requirements/docs.txt. Every warning is an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_COLLECTION = _HERE.parents[1]


def build(folder: Path) -> Path:
    """Build the site below ``folder`` and return the folder of its pages."""
    pages = folder / "rst"
    pages.mkdir(mode=0o700, parents=True, exist_ok=True)  # antsibull-docs insists on the mode
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(_COLLECTION.parents[2])}
    generate = ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy"]
    strictly = ["--fail-on-error", "--cleanup", "everything", "--dest-dir", str(pages)]
    subprocess.run([*generate, *strictly, "mailops.ses"], env=environment, check=True)
    html = folder / "html"
    quietly = ["--quiet", "--fail-on-warning", "--keep-going", "--fresh-env", "--write-all"]
    settings = ["--conf-dir", str(_HERE), "--doctree-dir", str(folder / "doctrees")]
    subprocess.run(["sphinx-build", *quietly, *settings, str(pages), str(html)], check=True)
    return html


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]).resolve()) / 'index.html'}\n")

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Sphinx makes a site of what antsibull-docs writes. ``make docs`` runs both.

Nothing is fetched, neither while the site is built nor when a page is read.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml
from docutils import nodes

if t.TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_HERE = Path(__file__).resolve().parent
_GALAXY = yaml.safe_load((_HERE.parents[1] / "galaxy.yml").read_text(encoding="utf-8"))

project = f"{_GALAXY['namespace']}.{_GALAXY['name']}"
version = release = _GALAXY["version"]
copyright = ", ".join(_GALAXY["authors"])  # noqa: A001 # Sphinx reads it under this name

extensions = ["sphinx_antsibull_ext"]
antsibull_ext_color_scheme = "default-autodark"
exclude_patterns = ["environment_variables.rst"]  # there are none, and no page links to it
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
nitpicky = True
smartquotes_action = "D"  # dashes; quotation marks stay as they are written

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = [str(_HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False

_ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
_LABELS_ELSEWHERE = {
    "action_plugins": "plugins/action.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
# A name that is not among these is a misspelling until it is added here.
_PLUGINS_ELSEWHERE = frozenset(
    [
        "amazon.aws.iam_access_key_module",
        "amazon.aws.secretsmanager_secret_lookup",
        "amazon.aws.ssm_parameter_lookup",
        "ansible.builtin.command_module",
        "ansible.builtin.copy_module",
        "ansible.builtin.debug_module",
        "ansible.builtin.default_filter",
        "ansible.builtin.env_lookup",
        "ansible.builtin.file_module",
        "ansible.builtin.pipe_lookup",
        "ansible.builtin.set_fact_module",
        "ansible.builtin.template_module",
        "ansible.builtin.unvault_lookup",
        "community.hashi_vault.vault_kv2_get_lookup",
    ]
)


def _address(label: str) -> str | None:
    """Where the documentation of Ansible has ``label``, None if we know of no such label."""
    anchor = re.sub(r"[._]", "-", label)
    if label in _LABELS_ELSEWHERE:
        return f"{_ANSIBLE}/{_LABELS_ELSEWHERE[label]}#{anchor}"
    _ansible_collections, _dot, name = label.partition(".")
    if name in _PLUGINS_ELSEWHERE:
        return f"{_ANSIBLE}/collections/{name.replace('.', '/')}.html#{anchor}"
    return None


def _link_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Resolve what no page of the site has; without an answer Sphinx makes it an error."""
    address = _address(node["reftarget"])
    return nodes.reference("", "", content, refuri=address, internal=False) if address else None


def _suit_the_theme(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the pages' own lists of contents, and shorten what the pages are called in the menu.

    The theme has the contents beside each page, and the menu in a narrow column.
    """
    for topic in list(doctree.findall(nodes.topic)):
        if "contents" in topic["classes"]:
            topic.parent.remove(topic)
    for title in doctree.findall(nodes.title):
        title.attributes.pop("refid", None)  # the way back there
    page = app.env.current_document.docname
    name, *description = re.split(" (?:--|\u2013) ", app.env.titles[page].astext(), maxsplit=1)
    if description:
        short = name.removeprefix(f"{project}.")
        app.env.titles[page] = nodes.title("", short)
        in_menu = next(app.env.tocs[page].findall(nodes.reference))
        in_menu.children = [nodes.Text(short)]


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("missing-reference", _link_elsewhere)
    # After Sphinx has collected the titles.
    app.connect("doctree-read", _suit_the_theme, priority=900)

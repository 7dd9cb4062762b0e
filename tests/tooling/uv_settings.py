# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pip is set up with on this machine, said to uv, which installs in a tenth of the time.

uv reads neither pip's files nor its variables. Where pip is told something that uv cannot be told,
pip has to install.
"""

from __future__ import annotations

import configparser
import os
import sys
import typing as t
from pathlib import Path

#: What uv has a variable for, and what stands between several values there.
_VARIABLES = {
    "cert": ("SSL_CERT_FILE", ""),
    "client-cert": ("SSL_CLIENT_CERT", ""),
    "constraint": ("UV_CONSTRAINT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "proxy": ("ALL_PROXY", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
#: What makes no difference to what is installed here.
_HARMLESS = {
    "break-system-packages",
    "cache-dir",
    "compile",
    "disable-pip-version-check",
    "exists-action",
    "log",
    "no-cache-dir",
    "no-color",
    "no-compile",
    "no-input",
    "no-python-version-warning",
    "no-warn-conflicts",
    "no-warn-script-location",
    "prefer-binary",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "resume-retries",
    "retries",
    "root-user-action",
    "upgrade-strategy",
    "verbose",
}
_NO = {"0", "false", "f", "no", "n", "off", ""}
#: As pip does: of all indexes the newest version; and certificates are the system's.
_LIKE_PIP = {
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_SYSTEM_CERTS": "true",
}


def list_pip_files(environment: t.Mapping[str, str]) -> list[Path]:
    """pip's files, in the order in which it reads them (pip documentation, "Configuration").

    Those for all users, for this user, and for the environment from which the checks run, and the
    one that a variable names.
    """
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    for_all = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    folders = ["/Library/Application Support/pip"]
    folders += [f"{folder}/pip" for folder in for_all.split(os.pathsep)]
    folders += ["/etc", "~/Library/Application Support/pip", "~/.pip"]
    folders += [f"{environment.get('XDG_CONFIG_HOME') or '~/.config'}/pip", sys.prefix]
    files = [Path(folder, "pip.conf").expanduser() for folder in folders]
    return [*files, Path(named)] if named else files


def read_pip_settings(environment: t.Mapping[str, str], files: t.Iterable[Path]) -> dict[str, str]:
    """pip's settings by the names of its long options; a variable wins over ``files``."""
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found.update(parser.items(section))
    found.update(
        (name[len("PIP_") :], value)
        for name, value in environment.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value
    )
    return {name.lower().replace("_", "-"): value for name, value in found.items()}


def translate(settings: t.Mapping[str, str]) -> dict[str, str] | None:
    """uv's variables for pip's ``settings``; None if there is none for one of them."""
    said = dict(_LIKE_PIP)
    for name, value in settings.items():
        if name in _VARIABLES:
            variable, between = _VARIABLES[name]
            values = value.split() if between else [value]
            if any(between and between in each for each in values):
                return None
            said[variable] = between.join(values)
        elif name == "pre" and value.lower() not in _NO:
            said["UV_PRERELEASE"] = "allow"
        elif name not in _HARMLESS and value.lower() not in _NO:
            return None
    return said


def read_uv_settings(environment: t.Mapping[str, str]) -> dict[str, str] | None:
    """uv's variables for what pip is set up with here; None if uv cannot be told."""
    return translate(read_pip_settings(environment, list_pip_files(environment)))

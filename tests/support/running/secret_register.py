# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugins as they are on an ansible-core that has a register of secrets, or has none."""

from __future__ import annotations

import importlib.util
import sys
import types

import pytest

_SECRETS = "ansible.module_utils.secrets"
_PLUGINS = "ansible_collections.mailops.ses.plugins"


class SecretRegister:
    """Stands in for the module ansible.module_utils.secrets that ansible-core 2.22 brought."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def register_secret(self, value: str, /) -> str:
        """Note ``value`` and return it, as the real one does."""
        self.values.append(value)
        return value


def plugin_with_register(
    monkeypatch: pytest.MonkeyPatch, plugin: str, register: SecretRegister | None
) -> types.ModuleType:
    """Return a fresh copy of ``plugin``, like "filter.ses_smtp_password".

    It finds ``register`` in place of ansible-core's, and none if that is None, whatever the
    ansible-core that runs the test has.
    """
    module: types.ModuleType | None = None
    if register is not None:
        module = types.ModuleType(_SECRETS)
        vars(module)["register_secret"] = register.register_secret
    # None makes an import raise ImportError.
    monkeypatch.setitem(sys.modules, _SECRETS, module)
    for shared in ("plugin_utils._templating", "plugin_utils._ses_action"):
        fresh = _fresh_copy(shared)
        monkeypatch.setitem(sys.modules, fresh.__name__, fresh)
    return _fresh_copy(plugin)


def _fresh_copy(plugin: str) -> types.ModuleType:
    spec = importlib.util.find_spec(f"{_PLUGINS}.{plugin}")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

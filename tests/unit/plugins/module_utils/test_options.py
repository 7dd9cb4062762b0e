# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules: which are secret, their aliases, and what the controller checks."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils import _options

ALL = {
    name: value
    for name, value in vars(_options).items()
    if name.isupper() and name in _options.__all__
}
SECRET = {"secret_key", "password"}


def levels(options: _options.Options) -> t.Iterator[_options.Options]:
    """The options, and those of each of their entries."""
    yield options
    for option in options.values():
        if "options" in option:
            yield from levels(option["options"])


@pytest.mark.parametrize("name", sorted(ALL))
def test_secrets_and_nothing_else_are_no_log(name: str) -> None:
    for options in levels(ALL[name]):
        assert {each for each, option in options.items() if option.get("no_log")} == SECRET & {
            *options
        }


def test_aliases_are_those_of_amazon_aws() -> None:
    aliases = {
        name: option["aliases"]
        for name, option in _options.AWS_OPTIONS.items()
        if "aliases" in option
    }
    assert aliases == {
        "access_key": ["aws_access_key_id", "aws_access_key"],
        "secret_key": ["aws_secret_access_key", "aws_secret_key"],
        "region": ["aws_region"],
        "version": ["ses_smtp_version"],
    }


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_controller_converts_no_value_that_the_derivation_checks(name: str) -> None:
    for options in levels(_options.derive_controller_options(ALL[name])):
        for each in {"access_key", "secret_key", "region", "version", "password"} & {*options}:
            assert options[each]["type"] == "raw"
            assert "choices" not in options[each]
        if "regions" in options:
            assert (options["regions"]["type"], options["regions"]["elements"]) == ("list", "raw")


def test_the_controller_has_the_same_options_and_defaults() -> None:
    for options in ALL.values():
        of_module = list(levels(options))
        of_controller = list(levels(_options.derive_controller_options(options)))
        assert [list(each) for each in of_module] == [list(each) for each in of_controller]
        for number, own in enumerate(of_module):
            checked = of_controller[number]
            for name, option in own.items():
                for word in ("aliases", "default", "no_log", "required"):
                    assert checked[name].get(word) == option.get(word)

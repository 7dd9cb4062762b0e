# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which CA files are good enough for Postfix's SMTP client."""

from __future__ import annotations

import os
import ssl
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix import _tls as tls
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import PostfixError

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_the_ca_file_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "bundle.pem"
    monkeypatch.setattr(tls, "_CA_FILES", (str(tmp_path / "no"), str(there)))
    with pytest.raises(PostfixError, match="Install the package ca-certificates"):
        tls.find_system_ca_file()
    there.touch()
    assert tls.find_system_ca_file() == str(there)


@pytest.mark.parametrize("thoroughly", [True, False])
def test_ca_files_that_are_none(tmp_path: Path, thoroughly: bool) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(PostfixError, match=r"ca.pem can't be read: No such file"):
        tls.check_ca_file(str(path), thoroughly)
    for content in ("", "no certificate"):
        path.write_text(content, encoding="ascii")
        with pytest.raises(PostfixError, match="has no certificate in PEM form"):
            tls.check_ca_file(str(path), thoroughly)


def test_a_damaged_ca_file_is_found_when_it_matters(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(PEM.format("AAAA"), encoding="ascii")
    tls.check_ca_file(str(path), thoroughly=False)
    with pytest.raises(PostfixError, match="has no valid certificate"):
        tls.check_ca_file(str(path), thoroughly=True)


def test_a_ca_file_without_an_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        stats: t.ClassVar[dict[str, int]] = {"x509_ca": 0}

        def __init__(self, _protocol: object) -> None:
            self.loaded = ""

        def load_verify_locations(self, cafile: str) -> None:
            self.loaded = cafile

        def cert_store_stats(self) -> dict[str, int]:
            assert os.path.exists(self.loaded)
            return self.stats

    monkeypatch.setattr(ssl, "SSLContext", Context)
    path = tmp_path / "ca.pem"
    path.write_text(PEM.format("AAAA"), encoding="ascii")
    with pytest.raises(PostfixError, match="no certificate of an authority"):
        tls.check_ca_file(str(path), thoroughly=True)
    Context.stats = {"x509_ca": 1}
    tls.check_ca_file(str(path), thoroughly=True)

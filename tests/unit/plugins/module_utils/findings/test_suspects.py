# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that may be why a probe fails."""

from __future__ import annotations

import typing as t

from ansible_collections.mailops.ses.plugins.module_utils._findings._suspects import list_suspects
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix

if t.TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {"inet_protocols": "all", "smtp_bind_address": "", "smtp_host_lookup": "dns"}
MAIN_CF = """\
relayhost = [email-smtp.eu-west-1.amazonaws.com]:587
inet_protocols = ipv6
smtp_host_lookup = dns
smtp_tls_security_level = secure
smtp_tls_loglevel = 1
tls_config_name = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
myhostname = mx1
"""
MASTER_CF = """\
smtp unix - - n - - smtp
  -o smtp_bind_address=192.0.2.1
  -o syslog_name=postfix/out
slow unix - - n - - smtp -o smtp_bind_address=192.0.2.2
"""


class Programs:
    """postconf, as the settings of a test have it."""

    def run_command(
        self, arguments: t.Sequence[str], **_options: t.Any
    ) -> tuple[int, bytes, bytes]:
        names = [each for each in arguments if each.isidentifier() and each != "postconf"]
        own = dict(line.split(" = ", 1) for line in MAIN_CF.splitlines())
        values = DEFAULTS if "-d" in arguments else own
        lines = [f"{name} = {values[name]}\n" for name in names if name in values]
        return 0, "".join(lines).encode(), b""

    def get_bin_path(self, name: str, *_arguments: t.Any, **_options: t.Any) -> str:
        return name


def test_what_differs_from_the_defaults_is_named(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(MAIN_CF, encoding="ascii")
    (tmp_path / "master.cf").write_text(MASTER_CF, encoding="ascii")
    postfix = Postfix(t.cast("t.Any", Programs()), str(tmp_path))
    found = list_suspects(postfix, str(tmp_path), "smtp", ["smtp_tls_security_level"])
    assert found == (
        f"inet_protocols = ipv6 ({tmp_path}/main.cf, line 2)",
        f"tls_config_name = REDACTED ({tmp_path}/main.cf, line 6)",
        f"smtp_bind_address = 192.0.2.1 ({tmp_path}/master.cf, line 2)",
    )


def test_a_plain_postfix_has_none(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = mx1\n", encoding="ascii")
    assert list_suspects(Postfix(t.cast("t.Any", Programs()), ""), str(tmp_path), None, ()) == ()

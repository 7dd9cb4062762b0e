# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for Amazon SES for people: try a playbook or a mail program without an AWS account.

    python -m tests.support.ses --identity example.com

It has one account with AWS's public example key, prints how to reach it, and then every session, line by
line, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import typing as t
from pathlib import Path

from ..example_key import ACCESS_KEY, SECRET_KEY
from .accounts import SMTP_REGIONS, Account, password_v4
from .certificate_authority import CertificateAuthority, endpoint_names
from .protocol import Listener, Mode
from .records import Session
from .stand_in import SesStandIn


def main(arguments: t.Sequence[str]) -> None:
    """Run until SIGTERM or SIGINT."""
    options = _parse(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    authority = CertificateAuthority(options.directory)
    certificate = authority.issue(*endpoint_names(options.region), "localhost")
    listeners = [
        Listener(options.region, certificate, options.address, port, mode)
        for port, mode in ((options.port, Mode.STARTTLS), (options.tls_port, Mode.WRAPPER))
    ]
    account = Account(
        ACCESS_KEY,
        SECRET_KEY,
        tuple(options.identity),
        sandbox=options.sandbox,
        paused=options.paused,
        configuration_sets=tuple(options.configuration_set),
        rate=options.rate,
        daily_quota=options.daily_quota,
    )
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with SesStandIn(listeners, [account]) as ses:
        print(_describe(ses.listeners, account, authority.ca_file), flush=True)
        ses.recorder.watch(_print_session)
        signal.sigwait(ends)


def _parse(arguments: t.Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.ses",
        description="A stand-in for Amazon SES's SMTP endpoint, as strict as the real one.",
    )
    add = parser.add_argument
    add("--directory", type=Path, default=Path("stand-in"), help="for its certificates")
    add("--region", choices=SMTP_REGIONS, default="eu-west-1", metavar="REGION")
    add("--identity", action="append", default=[], help="a verified address or domain; repeat")
    add("--configuration-set", action="append", default=[], help="one that exists; repeat")
    add("--sandbox", action="store_true", help="recipients have to be verified, too")
    add("--paused", action="store_true", help="sending is paused for the account")
    add("--rate", type=float, help="recipients each second")
    add("--daily-quota", type=int, help="recipients each day")
    add("--address", default="127.0.0.1", help="to listen on")
    add("--port", type=int, default=2587, help="with STARTTLS")
    add("--tls-port", type=int, default=2465, help="with TLS from the first byte on")
    return parser.parse_args(arguments)


def _describe(listeners: t.Sequence[Listener], account: Account, ca_file: Path) -> str:
    plain, wrapped = listeners
    password = password_v4(account.secret_key, plain.region)
    return "\n".join(
        [
            f"Amazon SES in {plain.region}, as a stand-in:",
            f"  server      localhost or {endpoint_names(plain.region)[0]}, at {plain.address}",
            f"  ports       {plain.port} (STARTTLS), {wrapped.port} (TLS)",
            f"  CA file     {ca_file.absolute()}",
            f"  access key  {account.access_key}",
            f"  secret key  {account.secret_key}",
            f"  password    {password} (version 4)",
            f"  identities  {', '.join(account.identities) or 'none, so no message is accepted'}",
            "Press Ctrl-C to end it.",
        ]
    )


def _print_session(session: Session) -> None:
    print(f"\nSession {session.number} from {session.client}, {session.tls_version or 'no TLS'}")
    for line in session.dialogue:
        print(f"  {line}")
    for error in session.errors:
        print(f"  ! {error}")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

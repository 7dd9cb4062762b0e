# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends one message through this host's Postfix, and says what became of it.

    python3 send_test_message.py CONFIG_DIRECTORY SENDER RECIPIENT SECONDS

CONFIG_DIRECTORY and SENDER may be empty, for Postfix's defaults. Prints what happened and ends
with 0 if the next server took the message. If not, the message is taken out of the queue.

The recipient gets a label, as in success+LABEL@simulator.amazonses.com, which SES's mailbox
simulator ignores, so that queue and log tell this message from all others.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import typing as t

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where syslog puts the facility "mail": Debian, Red Hat, SUSE, and catch-alls.
LOG_FILES = ("/var/log/mail.log", "/var/log/maillog", "/var/log/mail", "/var/log/messages")
POLL = 0.3  # seconds
# How long the log may lag behind the queue, in seconds.
LOG_LAG = 5.0


class Attempt(t.NamedTuple):
    """What one attempt to deliver came to: sent, deferred, bounced or expired, and why."""

    queue_id: str
    relay: str
    status: str
    text: str


class Postfix:
    """An instance; ``config_directory`` may be empty for the default one."""

    def __init__(self, config_directory: str) -> None:
        # Postfix's programs take the directory from the environment, if it is root's.
        self._environment = {"PATH": PATH, "LC_ALL": "C"}
        if config_directory:
            self._environment["MAIL_CONFIG"] = config_directory

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end, whatever that is."""
        return subprocess.run(
            command,
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def get(self, name: str) -> str:
        """A setting, empty if this Postfix does not know it."""
        return self.run("postconf", "-hx", name).stdout.strip()

    def send(self, sender: str, recipient: str) -> str:
        """Hand in a message; returns what is wrong, or nothing."""
        header = {"To": recipient, "Subject": "Test", "Auto-Submitted": "auto-generated"}
        text = "".join(f"{name}: {value}\n" for name, value in header.items()) + "\nTest\n"
        envelope = ["-f", sender] if sender else []
        command = [self.get("sendmail_path") or "sendmail", "-i", *envelope, "--", recipient]
        done = self.run(*command, text=text)
        return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()

    def queued(self, recipient: str) -> tuple[str, str] | None:
        """Queue id of the message to ``recipient`` and why it is delayed, None if there is none."""
        for line in self.run("postqueue", "-j").stdout.splitlines():
            entry = json.loads(line)
            for each in entry["recipients"]:
                if each["address"] == recipient:
                    return entry["queue_id"], each.get("delay_reason", "")
        return None

    def state(self) -> str:
        """Why a message may still be in the queue."""
        if self.run("postfix", "status").returncode != 0:
            return "Postfix is not running"
        return "it is in the queue, and no attempt to deliver it has ended"

    def remove(self, queue_id: str) -> None:
        """Take a message out of the queue."""
        self.run("postsuper", "-d", queue_id)


class Log:
    """What is logged from now on, in the journal or in a file."""

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix
        own = postfix.get("maillog_file")
        names = [own] if own else LOG_FILES
        self._sizes = {name: os.path.getsize(name) for name in names if os.path.isfile(name)}
        # A journal has whole seconds.
        self._since = int(time.time()) - 1
        self._journal = not own and os.path.isdir("/run/systemd/journal")

    def text(self) -> str:
        """All of it so far."""
        parts = [self._from_file(name, size) for name, size in self._sizes.items()]
        if self._journal:
            mail = "SYSLOG_FACILITY=2"
            since = f"--since=@{self._since}"
            command = ["journalctl", "--quiet", "--no-pager", "--output=cat", since, mail]
            parts.append(self._postfix.run(*command).stdout)
        return "\n".join(parts)

    def _from_file(self, name: str, size: int) -> str:
        with open(name, encoding="utf-8", errors="replace") as file:
            # A shorter one is new: the old one was rotated away.
            if os.fstat(file.fileno()).st_size >= size:
                file.seek(size)
            return file.read()


def attempts(log: str, recipient: str) -> list[Attempt]:
    """All attempts to deliver to ``recipient`` in a log, in order. Source: log_adhoc(3)."""
    to = re.escape(recipient)
    line = rf": (\w+): to=<{to}>,.* relay=([^,]+),.* status=(\w+) \((.*)\)\s*$"
    return [Attempt(*found) for found in re.findall(line, log, re.MULTILINE)]


def labelled(recipient: str) -> str:
    """``user@domain`` with a label that nobody else has."""
    user, _at, domain = recipient.rpartition("@")
    return f"{user}+{secrets.token_hex(8)}@{domain}"


def outcome(postfix: Postfix, log: Log, recipient: str, timeout: float) -> tuple[bool, str]:
    """Wait until the message is delivered, refused or late.

    Returns whether it was delivered, and what to say. If not, it is not in the queue any more.
    """
    deadline = time.monotonic() + timeout
    gone_since = None
    while True:
        for attempt in attempts(log.text(), recipient):
            if attempt.status == "sent":
                return True, f"delivered to {attempt.relay}: {attempt.text}"
            postfix.remove(attempt.queue_id)
            return False, f"not delivered ({attempt.status}) by {attempt.relay}: {attempt.text}"
        queued = postfix.queued(recipient)
        now = time.monotonic()
        if queued is None:
            gone_since = gone_since or now
            if now - gone_since > LOG_LAG:
                return False, (
                    "the message has left the queue, but there is no log of Postfix's that says"
                    " whether it was delivered or refused. Let the journal, syslog or maillog_file"
                    " keep one"
                )
        elif queued[1] or now > deadline:
            postfix.remove(queued[0])
            why = queued[1] or postfix.state()
            return False, f"not delivered within {timeout:g} seconds: {why}"
        time.sleep(POLL)


def main(config_directory: str, sender: str, recipient: str, seconds: str) -> int:
    postfix = Postfix(config_directory)
    log = Log(postfix)
    recipient = labelled(recipient)
    refused = postfix.send(sender, recipient)
    if refused:
        print(f"Postfix does not take the message: {refused}")
        return 1
    delivered, text = outcome(postfix, log, recipient, float(seconds))
    print(text)
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

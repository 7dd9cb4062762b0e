# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends one message through this host's Postfix, and waits until it leaves the queue.

    python3 send_test_message.py CONFIG_DIRECTORY SENDER RECIPIENT SECONDS

CONFIG_DIRECTORY may be empty, for Postfix's default. Prints what is known of the message.
The exit status is 0 if it left the queue and the log does not say that it was refused.

The recipient gets a secret label, as in success+LABEL@simulator.amazonses.com, which SES's mailbox
simulator ignores. Nobody else knows it before the message is in the queue: it is in no process's
arguments. From then on every local user can read it there, and can write any line into the log. So
a queue ID comes from the queue alone, and a line of the log is only quoted: it can neither remove a
message nor prove that one arrived.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import stat
import subprocess
import sys
import threading
import time
import typing as t

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where syslog puts the facility "mail": Debian, Red Hat, SUSE, and catch-alls.
LOG_FILES = ("/var/log/mail.log", "/var/log/maillog", "/var/log/mail", "/var/log/messages")
POLL = 0.3  # seconds
# How long the log may lag behind the queue, in seconds.
LOG_LAG = 5.0
COMMAND_SECONDS = 60.0
# Others may fill the queue and the log. No more is read of a line, nor of the log in one turn.
LINE_BYTES = 1024 * 1024
LOG_BYTES = 4 * 1024 * 1024
#: What each line that is meant for the role begins with.
OWN = "mailops.ses: "
SHOWN_CHARACTERS = 1000

# mail_queue.h: short and long queue IDs. Neither is a word like ALL, nor an option.
_CONSONANTS = "0-9BCDFGHJ-NP-TV-Zbcdfghj-np-tv"
QUEUE_ID = re.compile(rf"[0-9A-F]{{6,40}}|[{_CONSONANTS}w-z]{{10,40}}z[{_CONSONANTS}w-y]{{1,40}}")
_PLAIN = r"[^\s<>,;:\"()\\\x00-\x1f\x7f@]"
ADDRESS = re.compile(rf"(?!-){_PLAIN}+@{_PLAIN}+")
REFUSED = ("bounced", "expired", "undeliverable")
#: Words of SES after a message, which it says to a login that it has accepted, and the remedy.
REMEDIES = {
    "Email address is not verified": (
        "the access key is valid, but the sender is not a verified identity in this region. Verify the"
        " sender's address or domain there, or send the test message from another address"
    ),
    "is not authorized to perform": (
        "the access key is valid, but its IAM user may not send from this identity. Allow"
        " ses:SendRawEmail for it"
    ),
}


class TestError(Exception):
    """What keeps the test from being made, in words for the operator."""


class Entry(t.NamedTuple):
    """A message in the queue, and why it is delayed, which is empty if it is not."""

    queue_id: str
    queue_name: str
    delay_reason: str


class Postfix:
    """An instance; ``config_directory`` may be empty for the default one."""

    def __init__(self, config_directory: str) -> None:
        # Postfix's programs take the directory from the environment, if it is root's.
        self._environment = {"PATH": PATH, "LC_ALL": "C"}
        if config_directory:
            check_directory(config_directory)
            self._environment["MAIL_CONFIG"] = config_directory

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end, whatever that is. Raises TestError if it can't be run."""
        try:
            return subprocess.run(
                command,
                input=text,
                env=self._environment,
                cwd="/",
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise TestError(f"{command[0]} can't be run: {exc.__class__.__name__}") from None

    def lines(self, *command: str) -> t.Iterator[bytes]:
        """The lines that a program prints, one by one, without those that are too long.

        Raises TestError unless it ends well, and in time.
        """
        try:
            process = subprocess.Popen(
                command,
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as exc:
            raise TestError(f"{command[0]} can't be run: {exc.__class__.__name__}") from None
        assert process.stdout is not None
        timer = threading.Timer(COMMAND_SECONDS, process.kill)
        timer.start()
        with process:
            try:
                yield from whole_lines(process.stdout)
            finally:
                process.stdout.close()
                code = process.wait()
                timer.cancel()
        if code != 0:
            raise TestError(f"{' '.join(command)} failed with exit status {code}")

    def get(self, name: str) -> str:
        """A setting, empty if this Postfix does not know it."""
        return self.run("postconf", "-hx", name).stdout.strip()

    def send(self, sender: str, recipient: str) -> None:
        """Hand in a message. Its recipient is on standard input only. Raises TestError."""
        header = {"To": f"<{recipient}>", "Subject": "Test", "Auto-Submitted": "auto-generated"}
        text = "".join(f"{name}: {value}\n" for name, value in header.items()) + "\nTest\n"
        # A bounce would go to SES, which refuses its sender, or into a mailbox that nobody reads.
        options = ["-i", "-t", "-N", "never", "-f", sender]
        done = self.run(self.get("sendmail_path") or "sendmail", *options, text=text)
        if done.returncode != 0:
            raise TestError(f"Postfix does not accept the message: {done.stdout}{done.stderr}")

    def queued(self, recipient: str) -> list[Entry]:
        """The messages to ``recipient`` in the queue. Raises TestError if it can't be listed."""
        label = recipient.encode()
        return [
            entry
            for line in self.lines("postqueue", "-j")
            if label in line
            for entry in entries(line, recipient)
        ]

    def remove(self, recipient: str, queue_id: str) -> str:
        """Take a message out of the queue, if it is the only one to ``recipient``.

        Returns what became of it.
        """
        found = self.queued(recipient)
        if not found:
            return "It left the queue meanwhile."
        if [entry.queue_id for entry in found] != [queue_id]:
            return several(found)
        if self.run("postsuper", "-d", queue_id).returncode != 0:
            return f"It could not be removed from the queue: run postsuper -d {queue_id}."
        return "It was removed from the queue."


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

    def lines(self, label: str) -> list[str]:
        """The lines with ``label``, as far as the log is read."""
        mark = label.encode()
        found = [line for name, size in self._sizes.items() for line in tail(name, size)]
        if self._journal:
            since = f"--since=@{self._since}"
            newest = ["--lines=20000", "SYSLOG_FACILITY=2"]
            command = ["journalctl", "--quiet", "--no-pager", "--output=cat", since, *newest]
            # Without it, there is less to quote.
            with contextlib.suppress(TestError):
                found.extend(line for line in self._postfix.lines(*command) if mark in line)
        return [line.decode(errors="replace") for line in found if mark in line]


def check_directory(path: str) -> None:
    """Raise TestError unless only root can change the configuration in a directory."""
    if not os.path.isabs(path):
        raise TestError(f"the configuration directory {path!r} is no absolute path")
    for each in (path, os.path.join(path, "main.cf")):
        try:
            status = os.stat(each)
        except OSError as exc:
            raise TestError(f"{each!r} can't be read: {os.strerror(exc.errno or 0)}") from None
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
            raise TestError(
                f"{each!r} can be changed by others than root: correct its owner and mode"
            )


def whole_lines(file: t.IO[bytes]) -> t.Iterator[bytes]:
    """The lines of a file, without those that are too long."""
    is_rest = False
    for line in iter(lambda: file.readline(LINE_BYTES), b""):
        is_whole = line.endswith(b"\n")
        if is_whole and not is_rest:
            yield line
        is_rest = not is_whole


def tail(name: str, size: int) -> list[bytes]:
    """The newest lines of a log file that had ``size`` bytes before. It may be a new file by now."""
    try:
        with open(name, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            file.seek(max(size if end >= size else 0, end - LOG_BYTES))
            return file.read(LOG_BYTES).split(b"\n")
    except OSError:
        return []


def entries(line: bytes, recipient: str) -> t.Iterator[Entry]:
    """What a line of `postqueue -j` says of a message to ``recipient``, if it is about one.

    Raises TestError for a line that is not as Postfix writes them.
    """
    try:
        message = json.loads(line.decode(errors="replace"))
        reasons = {each["address"]: each.get("delay_reason", "") for each in message["recipients"]}
        queue_id = str(message["queue_id"])
        queue_name = str(message["queue_name"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise TestError("postqueue -j printed a line that is no entry of the queue") from None
    if recipient in reasons:
        if not QUEUE_ID.fullmatch(queue_id):
            raise TestError(f"postqueue -j has a queue ID that is none: {queue_id!r}")
        yield Entry(queue_id, queue_name, str(reasons[recipient]))


def several(found: t.Sequence[Entry]) -> str:
    """What is said where the message can't be told from others."""
    ids = ", ".join(entry.queue_id for entry in found[:10])
    return (
        f"None was removed, because {len(found)} messages in the queue are to its recipient: {ids}."
    )


def labelled(recipient: str) -> str:
    """``user@domain`` with a label that nobody else has."""
    user, _at, domain = recipient.rpartition("@")
    return f"{user}+{secrets.token_hex(8)}@{domain}"


def check_address(name: str, address: str) -> None:
    """Raise TestError for what is more or less than an address in a header or as an argument."""
    if not ADDRESS.fullmatch(address):
        raise TestError(f"the {name} {address!r} is no address like user@example.com")


def outcome(postfix: Postfix, log: Log, recipient: str, timeout: float) -> tuple[bool, str]:
    """Wait until the message leaves the queue, is delayed or late.

    Returns whether it left, with no word of the log that it was refused, and what to say.
    """
    deadline = time.monotonic() + timeout
    ours = ""
    was_seen, was_there = False, True
    while True:
        found = postfix.queued(recipient)
        late = time.monotonic() > deadline
        # From the maildrop, it goes on under another queue ID.
        if not ours and len(found) == 1 and found[0].queue_name != "maildrop":
            ours = found[0].queue_id
        # Whatever comes after ours, under the same recipient, is somebody else's.
        mine = [entry for entry in found if entry.queue_id == ours] if ours else found
        if mine and (late or (len(mine) == 1 and mine[0].delay_reason)):
            why = mine[0].delay_reason or waiting(postfix, mine[0], timeout)
            return False, f"Not delivered: {why}. {postfix.remove(recipient, mine[0].queue_id)}"
        # Twice, for the list may lack a message that goes from one queue to another.
        if not mine and not was_there:
            return gone(log, recipient, was_seen, ours)
        was_there = bool(mine)
        was_seen = was_seen or was_there
        time.sleep(POLL)


def waiting(postfix: Postfix, entry: Entry, timeout: float) -> str:
    """Why a message may still be in the queue."""
    if postfix.run("postfix", "status").returncode != 0:
        return "Postfix is not running"
    return f"after {timeout:g} s, the message is in the queue {entry.queue_name}, without a reason"


def gone(log: Log, recipient: str, was_seen: bool, queue_id: str) -> tuple[bool, str]:
    """What to say of a message that is not in the queue; ``queue_id`` may be empty."""
    deadline = time.monotonic() + LOG_LAG
    an_id = re.escape(queue_id) if queue_id else QUEUE_ID.pattern
    attempt = re.compile(rf": (?:{an_id}): to=<{re.escape(recipient)}>,.* status=(\w+) \(")
    while True:
        found = [match for match in map(attempt.search, log.lines(recipient)) if match]
        if found or time.monotonic() > deadline:
            break
        time.sleep(POLL)
    refused = [match for match in found if match.group(1) in REFUSED]
    quoted = "".join(f"\nAs logged: {match.string}" for match in (refused or found)[-3:])
    if refused:
        said = f"The message left the queue. The log says that it was refused.{quoted}"
        return False, said + remedy(refused[-1].string)
    if found or was_seen:
        return True, f"The message left the queue.{quoted or ' The log does not say why.'}"
    return False, (
        "The message was not seen in the queue, and there is no log of Postfix that has it."
        " Have the journal, syslog or maillog_file keep one"
    )


def remedy(line: str) -> str:
    """What to do about a refusal that the log has, which anybody may have written there."""
    for words, text in REMEDIES.items():
        if words in line:
            return f"\nIf SES says so, {text}."
    return ""


def shown(text: str) -> str:
    """Printable text of a reasonable length, whatever a log has."""
    printable = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    return printable[: 4 * SHOWN_CHARACTERS].strip()


def main(config_directory: str, sender: str, recipient: str, seconds: str) -> int:
    try:
        timeout = float(seconds)
        if not 0 < timeout < math.inf:
            raise TestError(f"the timeout must be greater than 0 (given: {seconds})")
        check_address("recipient", recipient)
        check_address("sender", sender)
        postfix = Postfix(config_directory)
        log = Log(postfix)
        recipient = labelled(recipient)
        postfix.send(sender, recipient)
        is_gone, text = outcome(postfix, log, recipient, timeout)
    except TestError as exc:
        is_gone, text = False, str(exc)
    # A login shell may print lines of its own.
    print("\n".join(f"{OWN}{line}" for line in shown(text).splitlines()))
    return 0 if is_gone else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

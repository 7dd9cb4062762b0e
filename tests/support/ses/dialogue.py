# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Amazon SES says in one SMTP connection."""

from __future__ import annotations

import enum
import re
import secrets
import string
import time
import typing as t
import uuid

from . import answers, checks
from .account_book import AccountBook, Verdict
from .accounts import Account
from .answers import Answer, Stage
from .behaviour import Behaviour
from .headers import HeaderError, check_address
from .lines import LineDialogue, Next
from .login import Login
from .records import AuthAttempt, Message, Recorder, Session

_FREE = string.ascii_letters + string.digits
_FLEET = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _number in range(9))
#: Each is answered by the method of its name.
_COMMANDS = frozenset(
    [
        "AUTH",
        "DATA",
        "EHLO",
        "HELO",
        "HELP",
        "MAIL",
        "NOOP",
        "QUIT",
        "RCPT",
        "RSET",
        "STARTTLS",
        "VRFY",
    ]
)
_BEFORE_TLS = frozenset({"EHLO", "NOOP", "QUIT", "STARTTLS"})
#: The first four digits of a message ID.
_REGION_DIGITS = {
    "us-east-1": "0100",
    "us-west-2": "0101",
    "eu-west-1": "0102",
    "ap-northeast-1": "0106",
    "eu-central-1": "0107",
}


class Tls(enum.Enum):
    """What TLS is to the dialogue."""

    OFFERED = "STARTTLS"
    STRIPPED = "none: a man in the middle"
    WRAPPED = "from the first byte"


class Dialogue(LineDialogue):
    """What SES says in one connection.

    ``record`` is filled with what came in; accepted messages go to ``recorder``.
    """

    def __init__(
        self,
        record: Session,
        book: AccountBook,
        recorder: Recorder,
        behaviour: Behaviour,
        tls: Tls = Tls.OFFERED,
    ) -> None:
        super().__init__(record, behaviour)
        self._book = book
        self._recorder = recorder
        self._tls = tls
        self._encrypted = tls is Tls.WRAPPED
        self._login = Login(self.say, self._log_in)
        self._username: str | None = None
        self._account: Account | None = None
        self._messages = 0
        self._reset()

    def greet(self) -> bytes:
        """What the server sends first."""
        self._fail_or(Stage.CONNECT, self._say_greeting)
        return self.take_output()

    def start_tls(self) -> None:
        """The handshake is done: what was said before it is forgotten (RFC 3207)."""
        self._encrypted = True
        self._reset()
        self.next = Next.READ

    def take_line(self, line: str) -> None:
        """Answer a command, or the response that AUTH waits for."""
        if self._login.expects_line:
            self._login.receive(line)
            return
        name, _space, argument = line.partition(" ")
        name, argument = name.upper(), argument.strip()
        # Of AUTH only the mechanism: the rest can be the password.
        shown = argument.split(" ")[0] if name == "AUTH" else argument
        self.record.auth_seen |= name == "AUTH"
        command = f"{name} {shown}" if shown else name
        self.record.commands.append(command)
        self.record.dialogue.append(f"> {command}")
        if len(line) < 4 or not line.strip():
            self.say(answers.BAD_SYNTAX)
        elif name not in _COMMANDS:
            self.say(answers.UNKNOWN_COMMAND)
        elif not self._encrypted and self._tls is Tls.OFFERED and name not in _BEFORE_TLS:
            self.say(answers.STARTTLS_FIRST)
        else:
            obey: t.Callable[[str], None] = getattr(self, f"_{name.lower()}")
            obey(argument)

    def take_message(self, content: bytes) -> None:
        """Answer a message."""
        self._fail_or(Stage.DATA, lambda: self._judge_message(content))
        self._reset()

    def _fail_or(self, stage: Stage, succeed: t.Callable[[], None]) -> None:
        """Answer with the fault that is on at this stage, or normally."""
        fault = self._book.take_fault(stage, self._username)
        if fault is None:
            succeed()
        else:
            self.send(fault.reply, closes=fault.closes)

    def _reset(self) -> None:
        self._mail_from: str | None = None
        self._recipients: list[str] = []

    # Commands

    def _say_greeting(self) -> None:
        connection = "".join(secrets.choice(_FREE) for _number in range(20))
        self.say(answers.GREETING, fleet=_FLEET, connection=connection)

    def _ehlo(self, argument: str) -> None:
        if not argument:
            self.say(answers.EHLO_SYNTAX)
            return
        self._reset()
        self.say(answers.EHLO_HOST)
        self.say(answers.EHLO_8BITMIME)
        if self.behaviour.offers_size:
            self.say(answers.EHLO_SIZE, limit=self.behaviour.message_size)
        if self._tls is Tls.OFFERED:
            self.say(answers.EHLO_STARTTLS)
        self.say(answers.EHLO_AUTH)
        self.say(answers.EHLO_END)

    def _helo(self, argument: str) -> None:
        if argument:
            self._reset()
        self.say(answers.HELO if argument else answers.HELO_SYNTAX)

    def _noop(self, _argument: str) -> None:
        self.say(answers.NOOP)

    def _rset(self, _argument: str) -> None:
        self._reset()
        self.say(answers.RSET)

    def _quit(self, _argument: str) -> None:
        self.say(answers.QUIT)

    def _vrfy(self, _argument: str) -> None:
        self.say(answers.VRFY)

    def _help(self, _argument: str) -> None:
        self.say(answers.HELP)

    def _starttls(self, argument: str) -> None:
        if argument:
            self.say(answers.STARTTLS_SYNTAX)
        elif self._encrypted or self._tls is Tls.STRIPPED:
            self.say(answers.TLS_ALREADY_ACTIVE)
        else:
            self.say(answers.READY_TO_START_TLS)
            # Not later: what arrives from now on is inside TLS.
            self.forget_input()
            self.next = Next.START_TLS

    # AUTH

    def _auth(self, argument: str) -> None:
        if self._username is not None:
            self.say(answers.ALREADY_AUTHENTICATED)
        else:
            self._login.begin(argument)

    def _log_in(self, mechanism: str, username: str, password: str) -> None:
        verdict = self._judge_login(username, password)
        fault = None
        if verdict is Verdict.ACCEPTED:
            fault = self._book.take_fault(Stage.AUTH, username)
        if fault is not None:
            self.send(fault.reply, closes=fault.closes)
        else:
            self.say(self._login_answer(verdict))
            if verdict is Verdict.ACCEPTED:
                self._username = username
                self._account = self._book.find(username)
        reply = self.record.replies[-1]
        self.record.auth_attempts.append(
            AuthAttempt(mechanism, username, verdict.value, reply, self.record.tls_version)
        )

    def _judge_login(self, username: str, password: str) -> Verdict:
        return self._book.judge(username, password, self.record.region)

    def _login_answer(self, verdict: Verdict) -> Answer:
        if verdict is Verdict.ACCEPTED:
            return answers.AUTHENTICATED
        if verdict is Verdict.VERSION_2:
            return answers.VERSION_2_DEPRECATED
        return answers.CREDENTIALS_INVALID

    # A message

    def _mail(self, argument: str) -> None:
        if self._username is None:
            self.say(answers.AUTHENTICATION_REQUIRED)
        elif self._mail_from is not None:
            self.say(answers.SENDER_ALREADY_SPECIFIED)
        elif argument.upper() == "FROM:":
            self.say(answers.MAIL_SYNTAX)
        elif not argument.upper().startswith("FROM:"):
            self.say(answers.MAIL_SYNTAX_ARGUMENT, argument=argument)
        elif self._messages >= self.behaviour.messages_per_session:
            self.say(answers.MANY_MESSAGES)
        else:
            self._take_sender(extract_address(argument[5:]), argument)

    def _take_sender(self, address: str, argument: str) -> None:
        size = re.search(r" SIZE=(\d+)", argument, re.IGNORECASE)
        if not self._is_sender(address):
            self.say(answers.BAD_SENDER)
        elif size and int(size[1]) > self.behaviour.message_size:
            self.say(answers.DECLARED_TOO_LONG)
        else:
            self._fail_or(Stage.MAIL, lambda: self._begin(address))

    def _begin(self, sender: str) -> None:
        self._messages += 1
        self._mail_from = sender
        self.say(answers.OK)

    def _is_sender(self, address: str) -> bool:
        # The ancestor checks the whole syntax here, and of a recipient nothing.
        try:
            check_address(address)
        except HeaderError:
            return False
        return True

    def _rcpt(self, argument: str) -> None:
        address = extract_address(argument[3:])
        if self._mail_from is None:
            self.say(answers.MAIL_FIRST)
        elif not argument.upper().startswith("TO:") or len(argument) == len("TO:"):
            self.say(answers.RCPT_SYNTAX, argument=argument)
        elif not re.fullmatch(r".+@[^@\s]+", address):
            self.say(answers.BAD_RECIPIENT)
        else:
            self._fail_or(Stage.RCPT, lambda: self._add_recipient(address))

    def _add_recipient(self, address: str) -> None:
        self._recipients.append(address)
        self.say(answers.OK)

    def _data(self, _argument: str) -> None:
        if self._mail_from is None:
            self.say(answers.MAIL_FIRST)
        elif not self._recipients:
            self.say(answers.RCPT_FIRST)
        else:
            self.say(answers.SEND_MESSAGE)
            self.expect_message()

    def _judge_message(self, content: bytes) -> None:
        assert self._username is not None
        assert self._mail_from is not None
        account = self._book.find(self._username) or self._account
        assert account is not None
        submission = checks.Submission(
            account,
            self.record.region,
            self._mail_from,
            tuple(self._recipients),
            content,
            self.behaviour,
            self._book,
        )
        refusal = checks.judge(submission)
        if refusal is not None:
            self.send(refusal)
            return
        self._book.count(account, self.record.region, len(self._recipients))
        self._accept(answers.ACCEPTED, content)

    def _accept(self, answer: Answer, content: bytes) -> None:
        assert self._username is not None
        assert self._mail_from is not None
        message = Message(
            session=self.record.number,
            region=self.record.region,
            username=self._username,
            tls_version=self.record.tls_version,
            mail_from=self._mail_from,
            recipients=tuple(self._recipients),
            data=content,
        )
        self._recorder.add_message(message)
        digits = _REGION_DIGITS.get(self.record.region, "0103")
        message_id = f"{digits}{int(time.time() * 1000):012x}-{uuid.uuid4()}-000000"
        self.say(answer, message_id=message_id)


def extract_address(argument: str) -> str:
    """The address in an argument of MAIL or RCPT: up to the first ``>``, or to the first blank."""
    argument = argument.strip()
    if argument.startswith("<"):
        return argument[1:].partition(">")[0].strip()
    return argument.partition(" ")[0]

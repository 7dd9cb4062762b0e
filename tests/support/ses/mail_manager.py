# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Mail Manager, AWS's second SMTP system, says in one connection.

AWS documents where it listens and how one logs in. No transcript of it is public, so every text of its
own is a guess, and so is that it looks at neither identities nor permissions.
"""

from __future__ import annotations

from . import answers
from .account_book import Verdict
from .answers import Answer
from .dialogue import Dialogue, Tls


class ManagerDialogue(Dialogue):
    """A dialogue with an ingress endpoint; ``record.region`` is its region."""

    @property
    def _host(self) -> str:
        return f"inbound.{self.record.region}.mail-manager-smtp.amazonaws.com"

    def _say_greeting(self) -> None:
        self.say(answers.MANAGER_GREETING, host=self._host)

    def _ehlo(self, argument: str) -> None:
        if not argument:
            self.say(answers.EHLO_SYNTAX)
            return
        self._reset()
        self.say(answers.MANAGER_EHLO_HOST, host=self._host)
        if self._tls is Tls.OFFERED and not self._encrypted:
            self.say(answers.EHLO_STARTTLS)
        else:
            self.say(answers.EHLO_AUTH)
        self.say(answers.MANAGER_EHLO_END)

    def _judge_login(self, username: str, password: str) -> Verdict:
        return self._book.judge_ingress(username, password)

    def _login_answer(self, verdict: Verdict) -> Answer:
        if verdict is Verdict.ACCEPTED:
            return answers.AUTHENTICATED
        return answers.MANAGER_CREDENTIALS_INVALID

    def _is_sender(self, address: str) -> bool:
        return True

    def _judge_message(self, content: bytes) -> None:
        # The traffic policy and the rule set decide later what becomes of it.
        self._accept(answers.MANAGER_ACCEPTED, content)

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipes of guide_mail_servers, read from the page, and what a test must know to try them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import guides

_GUIDE = "guide_mail_servers"
#: The guide's playbooks, by the last word of their names.
PLAYBOOKS: t.Mapping[str, str] = {
    block.splitlines()[0].split()[-1]: block for block in guides.blocks(_GUIDE, "yaml+jinja")
}

_APPLICATIONS = "python3-django python3-django-environ php-cli php-symfony-mailer ruby ruby-mail"
#: Debian packages that the recipes install, each of which excludes the others, and those that stand
#: for an application.
OFFERED = (
    "exim4-daemon-light",
    "opensmtpd",
    "sendmail-bin",
    "nullmailer",
    "msmtp-mta",
    "dma",
    "ssmtp",
    "esmtp-run",
    _APPLICATIONS,
)


_SENDMAIL = r"""
printf 'From: sender@example.com\nTo: to@example.net\nSubject: %s\n\n%s\n' "$1" "$1" |
sendmail -f sender@example.com to@example.net
"""


@dataclass(frozen=True)
class Recipe:
    """A recipe and the host that it is tried on.

    ``secret_files`` are all files that hold the password, with their mode and owner. ``senders`` are
    shell scripts that send a message with $1 as its subject. ``verifies`` says whether the program
    insists on a valid certificate, ``takes_an_alias`` whether it delivers if the server's name is
    one in DNS. ``before`` is run before the playbook, ``forget`` makes a program forget what it
    could not deliver a moment ago.
    """

    playbook: str
    secret_files: t.Mapping[str, str]
    senders: tuple[str, ...] = (_SENDMAIL,)
    verifies: bool = True
    takes_an_alias: bool = True
    before: str = "true"
    forget: str = "true"
    group: str = "mail"


# Applications, with the settings on the page and all else that it takes to send a message.
_DJANGO = f"""
import sys, types
from django.conf import settings
from django.core.mail import send_mail
namespace = {{}}
exec({guides.blocks(_GUIDE, "python")[0]!r}, namespace)
settings.configure(**{{k: v for k, v in namespace.items() if k.startswith("EMAIL_")}})
send_mail(sys.argv[1], "", "sender@example.com", ["to@example.net"])
"""
_RAILS = f"""
require "mail"
require "ostruct"
config = OpenStruct.new(action_mailer: OpenStruct.new)
{guides.blocks(_GUIDE, "ruby")[0]}
settings = config.action_mailer.smtp_settings
Mail.defaults {{ delivery_method config.action_mailer.delivery_method, settings }}
Mail.deliver {{ from "sender@example.com"; to "to@example.net"; subject ARGV[0] }}
"""
_SYMFONY = """<?php
require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
$mailer = new Symfony\\Component\\Mailer\\Mailer(
    Symfony\\Component\\Mailer\\Transport::fromDsn(getenv("MAILER_DSN"))
);
$mailer->send((new Symfony\\Component\\Mime\\Email())
    ->from("sender@example.com")->to("to@example.net")->subject($argv[1])->text("."));
"""
_INSTALL_APPLICATIONS = f"""
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends ca-certificates {_APPLICATIONS}
cat >/root/send.py <<'END'
{_DJANGO}
END
cat >/root/send.rb <<'END'
{_RAILS}
END
cat >/root/send.php <<'END'
{_SYMFONY}
END
"""


def _with(environment: str, command: str) -> str:
    return f'set -a; . /etc/app/{environment}.env; {command} "$1"'


_EXIM_SECRETS = {"/etc/exim4/passwd.client": "640 root:Debian-exim"}
_EXIM_FORGET = "rm -f /var/spool/exim4/db/*"
# Its script does not wait for the end of what it stops.
_OPENSMTPD_FORGET = """
smtpctl remove all
service opensmtpd stop
while pidof smtpd >/dev/null; do sleep 0.1; done
service opensmtpd start >/dev/null 2>&1
"""
_EXIM_PRESEED = "echo exim4-config exim4/use_split_config boolean {} | debconf-set-selections"

# Else it takes no mail on a busy machine, and sends none. Debian's sendmail.mc includes this file.
_SENDMAIL_BEFORE = """
mkdir -p /etc/mail/m4
cat >/etc/mail/m4/provider.m4 <<'END'
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
END
"""

#: By the name of the host, those first that take longest.
RECIPES: t.Mapping[str, Recipe] = {
    "applications": Recipe(
        PLAYBOOKS["applications"],
        {
            f"/etc/app/{name}.env": "600 root:root"
            for name in ("django", "grafana", "rails", "symfony")
        },
        senders=(
            _with("django", "python3 /root/send.py"),
            _with("rails", "ruby /root/send.rb"),
            _with("symfony", "php /root/send.php"),
        ),
        before=_INSTALL_APPLICATIONS,
        group="app",
    ),
    "sendmail": Recipe(
        PLAYBOOKS["Sendmail"],
        {"/etc/mail/authinfo": "600 root:root", "/etc/mail/authinfo.db": "600 smmta:smmsp"},
        before=_SENDMAIL_BEFORE,
    ),
    "exim-split": Recipe(
        PLAYBOOKS["Exim"], _EXIM_SECRETS, before=_EXIM_PRESEED.format("true"), forget=_EXIM_FORGET
    ),
    "exim-single": Recipe(
        PLAYBOOKS["Exim"], _EXIM_SECRETS, before=_EXIM_PRESEED.format("false"), forget=_EXIM_FORGET
    ),
    "opensmtpd": Recipe(
        PLAYBOOKS["OpenSMTPD"],
        {"/etc/smtpd.secrets": "640 root:opensmtpd"},
        forget=_OPENSMTPD_FORGET,
    ),
    "nullmailer": Recipe(PLAYBOOKS["nullmailer"], {"/etc/nullmailer/remotes": "600 mail:mail"}),
    "msmtp": Recipe(PLAYBOOKS["msmtp"], {"/etc/msmtprc": "640 root:msmtp"}),
    "dma": Recipe(PLAYBOOKS["dma"], {"/etc/dma/auth.conf": "640 root:mail"}, verifies=False),
    "ssmtp": Recipe(PLAYBOOKS["sSMTP"], {"/etc/ssmtp/ssmtp.conf": "640 root:mail"}, verifies=False),
    "esmtp": Recipe(PLAYBOOKS["esmtp"], {"/root/.esmtprc": "600 root:root"}, takes_an_alias=False),
}

# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about a relay: its servers, TLS, SASL, the queue and the instance."""

from __future__ import annotations

from dataclasses import replace

from ._finding import Kind

__all__ = [
    "AUTH_DISABLED",
    "DEFERRED_535",
    "INSTANCE_UNREADABLE",
    "MAIL_MANAGER_PORT",
    "NO_CA_FILE",
    "RELAY_NOT_ACCEPTED",
    "RELAY_NOT_PROVED",
    "SASL_MECHANISM_MISSING",
    "SASL_NOPLAINTEXT",
    "TLS_NOT_VERIFIED",
    "TLS_NOT_VERIFIED_BY_POLICY",
    "TLS_OPTIONAL",
    "TLS_OPTIONAL_BY_POLICY",
    "WRAPPERMODE_OFF",
    "WRAPPERMODE_ON",
]

_RELAY = "or run mailops.ses.postfix_relay"

TLS_OPTIONAL = Kind(
    "tls_not_verified",
    "critical",
    "Postfix does not require TLS for a server, because smtp_tls_security_level is none or may. The"
    " password can be sent without TLS.",
    "smtp_tls_security_level is {level} for {key}, so Postfix does not require TLS and does not"
    " verify the certificate. Whoever redirects the connection gets the password",
    "Set smtp_tls_security_level = secure and smtp_tls_CAfile in main.cf and run: postfix reload;"
    f" {_RELAY}",
    blocks=True,
)
TLS_OPTIONAL_BY_POLICY = replace(
    TLS_OPTIONAL,
    meaning="The same, because of an entry in smtp_tls_policy_maps.",
    message="smtp_tls_policy_maps has the level {level} for {key}, so Postfix does not require TLS and"
    " does not verify the certificate. Whoever redirects the connection gets the password",
    remedy="Remove the entry for {key} from the tables in smtp_tls_policy_maps, or set its level to"
    " secure",
)
TLS_NOT_VERIFIED = Kind(
    "tls_not_verified",
    "warning",
    "Postfix requires TLS for a server, but does not verify its certificate, for example because"
    " smtp_tls_security_level is encrypt. Whoever redirects the connection gets the password.",
    "smtp_tls_security_level is {level} for {key}, which does not verify the certificate. Whoever"
    " redirects the connection gets the password",
    TLS_OPTIONAL.remedy,
    blocks=True,
)
TLS_NOT_VERIFIED_BY_POLICY = replace(
    TLS_NOT_VERIFIED,
    meaning=TLS_OPTIONAL_BY_POLICY.meaning,
    message="smtp_tls_policy_maps has the level {level} for {key}, which does not verify the"
    " certificate. Whoever redirects the connection gets the password",
    remedy=TLS_OPTIONAL_BY_POLICY.remedy,
)
WRAPPERMODE_OFF = Kind(
    "wrappermode",
    "critical",
    "smtp_tls_wrappermode is not yes, but the port of a server expects TLS from the first byte. No"
    " mail is delivered.",
    "smtp_tls_wrappermode is not yes, but port {port} of {host} expects TLS from the first byte. No"
    " mail is delivered",
    "Set smtp_tls_wrappermode = yes in main.cf and run: postfix reload;"
    f" {_RELAY} with port={{port}}",
    blocks=True,
)
WRAPPERMODE_ON = Kind(
    "wrappermode",
    "critical",
    "smtp_tls_wrappermode = yes, but the port of a server expects STARTTLS. No mail is delivered.",
    "smtp_tls_wrappermode = yes, but port {port} of {host} expects STARTTLS. No mail is delivered",
    "Set smtp_tls_wrappermode = no in main.cf and run: postfix reload;"
    f" {_RELAY} with port={{port}}",
    blocks=True,
)
MAIL_MANAGER_PORT = Kind(
    "wrappermode",
    "critical",
    "Mail goes to Mail Manager at a port for TLS from the first byte, which Mail Manager does not"
    " support. No mail is delivered.",
    "Mail goes to port {port} of {host}, but Mail Manager does not support TLS from the first byte."
    " No mail is delivered",
    "Run mailops.ses.postfix_relay with port=587, or write port 587 in relayhost and in the lookup"
    " key, set smtp_tls_wrappermode = no in main.cf and run: postfix reload",
    blocks=True,
)
AUTH_DISABLED = Kind(
    "auth_disabled",
    "critical",
    "smtp_sasl_auth_enable is not yes, so Postfix does not log in to SES. SES rejects the mail.",
    "smtp_sasl_auth_enable is not yes, so Postfix does not log in to {key}. SES rejects the mail",
    f"Set smtp_sasl_auth_enable = yes in main.cf and run: postfix reload; {_RELAY}",
    blocks=True,
)
SASL_NOPLAINTEXT = Kind(
    "sasl_noplaintext",
    "critical",
    "smtp_sasl_tls_security_options or smtp_sasl_tls_verified_security_options contains noplaintext."
    " Postfix can't log in then, because SES offers PLAIN and LOGIN only.",
    "{setting} contains noplaintext, so Postfix can't log in to {key}: SES offers PLAIN and LOGIN"
    " only",
    "Set {setting} = noanonymous in main.cf and run: postfix reload. Inside TLS this is safe",
    blocks=True,
)
NO_CA_FILE = Kind(
    "no_ca_file",
    "critical",
    "Postfix has no CA certificates, so it can't verify any certificate. It defers all mail.",
    "No certificate can be verified: {problem}",
    "Install the package ca-certificates, and set smtp_tls_CAfile to the file with the system's CA"
    " certificates (/etc/ssl/certs/ca-certificates.crt on Debian) in main.cf. Then run: postfix"
    f" reload; {_RELAY}",
    blocks=True,
)
SASL_MECHANISM_MISSING = Kind(
    "sasl_mechanism_missing",
    "critical",
    "The plugins of Cyrus SASL for PLAIN and LOGIN are not installed. SES offers no other"
    " mechanisms.",
    "Cyrus SASL has no plugin for PLAIN or LOGIN here, and SES offers no other mechanisms",
    "Install the package libsasl2-modules (Debian, Ubuntu), cyrus-sasl-plain (Red Hat, SUSE) or"
    " cyrus-sasl (Alpine)",
    blocks=True,
)
DEFERRED_535 = Kind(
    "deferred_535",
    "critical",
    "Mail waits in the queue because the server rejected the login with the code 535.",
    "{messages} in the queue, the oldest for {age}, because {servers} rejected the login (535)",
    "Find the cause with mailops.ses.ses_smtp_ping, and correct the login. Then run: postqueue -c"
    " {directory} -f",
)
RELAY_NOT_ACCEPTED = Kind(
    "relay_not_accepted",
    "critical",
    "Postfix probed its relay, and SES does not accept its mail now. Found only with the option probe.",
    "The relay does not accept mail of this Postfix now: {reason}",
    "Correct what the reason says. For a rejected login, find the cause with"
    " mailops.ses.ses_smtp_ping. For a connection that fails, let the firewall allow it. Then probe"
    " again",
)
RELAY_NOT_PROVED = Kind(
    "relay_not_proved",
    "warning",
    "Postfix could not probe its relay, or the probe does not tell whether SES accepts its mail."
    " Found only with the option probe.",
    "Whether the relay accepts mail of this Postfix is not known: {reason}",
    "Correct what the reason says, and probe again",
)
INSTANCE_UNREADABLE = Kind(
    "instance_unreadable",
    "critical",
    "The configuration of a Postfix instance can't be read. Nothing is known about its logins.",
    "This instance can't be read: {problem}",
    "Run: postconf -c {directory} -n. Correct what it reports",
)

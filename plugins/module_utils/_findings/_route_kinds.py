# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about where mail goes, and about settings that keep it from SES."""

from __future__ import annotations

from dataclasses import replace

from ._finding import Kind

__all__ = [
    "AUTH_DISABLED_BY_SERVICE",
    "AUTH_SOFT_BOUNCE_OFF",
    "CERTIFICATE_MATCH",
    "CERTIFICATE_MATCH_BY_POLICY",
    "CIPHERS",
    "CLIENT_CHAIN_MISSING",
    "CLIENT_FILE_MISSING",
    "EHLO_DISABLED",
    "EHLO_DISABLED_BY_ADDRESS",
    "MECHANISM_FILTER",
    "NOT_RUNNING",
    "OTHER_CA_FILE",
    "OTHER_CLIENT",
    "OTHER_FLOW",
    "OTHER_FLOW_OF_OWN_CLIENT",
    "OTHER_FLOW_WRAPPERMODE",
    "OTHER_PASSWORD_MAPS",
    "PROTOCOLS",
    "ROUTES_UNKNOWN",
    "ROUTE_BY_RELAYHOST",
    "ROUTE_ELSEWHERE",
    "ROUTE_ELSEWHERE_BY_ENTRY",
    "ROUTE_FAILS",
    "ROUTE_PARTLY_ELSEWHERE",
    "SASL_TYPE",
    "SENDER_LOGINS_OFF",
    "SERVICE_DISABLED",
    "SERVICE_MISSING",
    "SERVICE_UNKNOWN",
    "TLS_NOT_VERIFIED_BY_HEADER",
    "TLS_NOT_VERIFIED_BY_SERVICE",
    "TLS_NOT_VERIFIED_PER_SITE",
    "TLS_OPTIONAL_BY_SERVICE",
    "TLS_UNKNOWN",
    "TRANSPORT_DEFERRED",
]

_OWN_CLIENT = (
    "Run mailops.ses.postfix_relay with transport=ses: then SES has an SMTP client of its own in"
    " master.cf, and other mail keeps its settings"
)
_RELOAD = "Then run: postfix -c {directory} reload"

ROUTE_ELSEWHERE = Kind(
    "route_elsewhere",
    "critical",
    "Mail does not go through SES although the host has a login for it: another setting than"
    " relayhost decides, for example default_transport.",
    "{mail} goes around SES: {where} has {setting} = {value}, so Postfix hands it to the service"
    " {transport} with the next hop {nexthop}",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
ROUTE_ELSEWHERE_BY_ENTRY = replace(
    ROUTE_ELSEWHERE,
    meaning="The same, because of an entry in a lookup table, for example one for all"
    " recipients in transport_maps.",
    message="{mail} goes around SES: {table}, in {setting} ({where}), has an entry for {entry}, so"
    " Postfix hands it to the service {transport} with the next hop {nexthop}",
    remedy=f"Remove that entry: {{command}}. {_RELOAD}",
)
ROUTE_BY_RELAYHOST = replace(
    ROUTE_ELSEWHERE,
    meaning="The same, because relayhost is empty or names another server.",
    message="{mail} goes around SES although this host has a login for it: {where} has relayhost ="
    " {value}",
    remedy="Set relayhost to the SES endpoint and run: postfix -c {directory} reload; or run"
    " mailops.ses.postfix_relay. If no mail should go to SES, remove the login",
)
ROUTE_PARTLY_ELSEWHERE = replace(
    ROUTE_ELSEWHERE,
    severity="warning",
    meaning="Most mail does not go through SES, and some does.",
    message="{mail} goes around SES, and other mail does not: because of {setting} ({where})"
    " Postfix hands it to the service {transport} with the next hop {nexthop}",
    remedy=f"If all mail should go to SES, remove what decides this: {{command}}. {_RELOAD}",
)
ROUTE_FAILS = Kind(
    "route_fails",
    "critical",
    "Postfix can't tell where mail goes, and defers it: a lookup table can't be used, or a transport"
    " is empty.",
    "{mail} is deferred: Postfix can't use {table}, in {setting} ({where})",
    "Correct or remove {table} in {setting}. For a table with a source, run: postmap {table}."
    f" {_RELOAD}",
    blocks=True,
)
ROUTES_UNKNOWN = Kind(
    "routes_unknown",
    "warning",
    "A lookup table in a setting that says where mail goes can't be listed, for example an LDAP"
    " table. Some mail may go around SES.",
    "Nobody can list the entries of {table}, in {setting} ({where}). Some mail may go to another"
    " server than SES",
    "Look up the senders or recipients that matter: postmap -c {directory} -q ADDRESS {table}",
)
TRANSPORT_DEFERRED = Kind(
    "transport_deferred",
    "critical",
    "defer_transports names the service that delivers mail, so all mail waits in the queue.",
    "{mail} waits in the queue: {where} has defer_transports = {value}, which contains {transport}",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
SERVICE_MISSING = Kind(
    "service_missing",
    "critical",
    "master.cf lacks a service that mail needs to leave the host.",
    "master.cf has no service {service}, so no mail leaves this host",
    f"Run: postconf -c {{directory}} -M {{service}}='{{line}}'. {_RELOAD}",
    blocks=True,
)
SERVICE_DISABLED = replace(
    SERVICE_MISSING,
    meaning="master_service_disable turns off a service that mail needs to leave the host.",
    message="master_service_disable turns off the service {service}, so no mail leaves this host",
    remedy=f"Run: postconf -c {{directory}} -X master_service_disable. {_RELOAD}",
)
SERVICE_UNKNOWN = replace(
    SERVICE_MISSING,
    meaning="The same, because default_transport or another setting names a service that master.cf does"
    " not have.",
    message="{mail} waits in the queue: {setting} ({where}) names the service {transport}, which"
    " master.cf does not have",
    remedy="If it is the client of a relay, run mailops.ses.postfix_relay again. Otherwise remove that"
    f" setting: {{command}}. {_RELOAD}",
)
TLS_OPTIONAL_BY_SERVICE = Kind(
    "tls_not_verified",
    "critical",
    "The same, because a service in master.cf has a level of its own, which does not require TLS.",
    "{where} has {setting} = {value} for the service {service}, which does not verify the certificate"
    " of {key}. Whoever redirects the connection gets the password",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
TLS_NOT_VERIFIED_BY_SERVICE = replace(
    TLS_OPTIONAL_BY_SERVICE,
    severity="warning",
    meaning="The same, because a service in master.cf has a level of its own, for example encrypt.",
)
TLS_NOT_VERIFIED_BY_HEADER = replace(
    TLS_OPTIONAL_BY_SERVICE,
    severity="warning",
    meaning="The same for messages with the header TLS-Required: no, which turns off the level since"
    " Postfix 3.10, unless tls_required_enable = no.",
    message="{where} has tls_required_enable = {value}: for a message with the header TLS-Required: no,"
    " Postfix does not verify the certificate of {key}. Whoever sends such a message and redirects the"
    " connection gets the password",
    remedy="Set tls_required_enable = no in main.cf and run: postfix -c {directory} reload; or run"
    " mailops.ses.postfix_relay. If the service {service} has that setting in master.cf, remove it"
    " there",
)
TLS_NOT_VERIFIED_PER_SITE = replace(
    TLS_OPTIONAL_BY_SERVICE,
    meaning="The same, because of an entry in smtp_tls_per_site, which is obsolete.",
    message="smtp_tls_per_site ({where}) has the level {level} for {key}, which does not verify the"
    " certificate. Whoever redirects the connection gets the password",
)
TLS_UNKNOWN = Kind(
    "tls_unknown",
    "warning",
    "A table in smtp_tls_policy_maps or smtp_tls_per_site can't be asked, so that nobody can tell"
    " whether the certificate of a server is verified.",
    "{setting} names {table}, which can't be asked for {key}. Whether the certificate of that server is"
    " verified is unknown",
    "Make sure that this shows no error: postmap -q {key} {table}. Or remove the table from {setting}",
    blocks=True,
)
PROTOCOLS = Kind(
    "tls_protocols",
    "critical",
    "smtp_tls_mandatory_protocols, smtp_tls_protocols or a TLS policy leaves neither TLS 1.2 nor TLS"
    " 1.3, and SES rejects mail over anything older.",
    "{where} has {setting} = {value}, which leaves neither TLS 1.2 nor TLS 1.3 for {key}. SES rejects"
    " mail over anything older",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
CIPHERS = Kind(
    "tls_ciphers",
    "critical",
    "The settings of ciphers leave none that SES accepts.",
    "{where} has {setting} = {value}, which leaves no cipher for {key}. No mail is delivered",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
CERTIFICATE_MATCH = Kind(
    "tls_certificate_match",
    "critical",
    "smtp_tls_secure_cert_match or smtp_tls_verify_cert_match demands a name that SES's certificate"
    " does not have.",
    "{where} has {setting} = {value}, and the certificate of {key} has no such name. All mail is"
    " deferred",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
CERTIFICATE_MATCH_BY_POLICY = replace(
    CERTIFICATE_MATCH,
    meaning="The same, because of match= in an entry of smtp_tls_policy_maps.",
    message="smtp_tls_policy_maps ({where}) has match={value} for {key}, and the certificate of {key}"
    " has no such name. All mail is deferred",
    remedy="Remove match= from the entry for {key} in the tables of smtp_tls_policy_maps, and compile"
    f" those that have a compiled table. {_RELOAD}",
)
CLIENT_FILE_MISSING = Kind(
    "tls_file_missing",
    "critical",
    "A file with a client certificate, a key or trust anchors is not there, which turns off TLS. With"
    " mandatory TLS all mail is deferred.",
    "{where} has {setting} = {value}, and that file does not exist. Postfix turns off TLS then, and"
    " defers all mail for {key}",
    f"SES needs no client certificate. Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
CLIENT_CHAIN_MISSING = replace(
    CLIENT_FILE_MISSING,
    severity="warning",
    meaning="A file in smtp_tls_chain_files is not there. Postfix warns, and uses no client"
    " certificate.",
    message="{where} has {setting} = {value}, and that file does not exist. Postfix uses no client"
    " certificate for {key}",
    blocks=False,
)
SASL_TYPE = Kind(
    "sasl_type",
    "critical",
    "smtp_sasl_type is not cyrus, the only implementation of SASL that Postfix's SMTP client has.",
    "{where} has smtp_sasl_type = {value}, so Postfix can't log in to {key}: its SMTP client has only"
    " cyrus",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
MECHANISM_FILTER = Kind(
    "sasl_mechanism_filter",
    "critical",
    "smtp_sasl_mechanism_filter leaves neither PLAIN nor LOGIN. SES offers no other mechanisms.",
    "{where} has smtp_sasl_mechanism_filter = {value}, so Postfix can't log in to {key}: SES offers"
    " PLAIN and LOGIN only",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
EHLO_DISABLED = Kind(
    "ehlo_disabled",
    "critical",
    "smtp_never_send_ehlo, smtp_discard_ehlo_keywords or an entry for all addresses keeps Postfix from seeing that SES offers TLS"
    " and a login.",
    "{where} has {setting} = {value}, so Postfix does not see that {key} offers STARTTLS and AUTH",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
EHLO_DISABLED_BY_ADDRESS = Kind(
    "ehlo_disabled",
    "warning",
    "smtp_discard_ehlo_keyword_address_maps keeps Postfix from seeing that servers with some addresses"
    " offer TLS and a login.",
    "{table}, in smtp_discard_ehlo_keyword_address_maps ({where}), has entries with auth or starttls. If"
    " one is for an address of {key}, Postfix does not see that it offers STARTTLS and AUTH",
    f"If mail is deferred, remove auth and starttls from these entries. {_RELOAD}",
)
AUTH_DISABLED_BY_SERVICE = Kind(
    "auth_disabled",
    "critical",
    "The same, because a service in master.cf turns it off.",
    "{where} has smtp_sasl_auth_enable = {value} for the service {service}, so Postfix does not log"
    " in to {key}. SES rejects the mail",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
OTHER_CA_FILE = Kind(
    "other_ca_file",
    "critical",
    "A service in master.cf has a smtp_tls_CAfile of its own, which is not the relay's.",
    "{where} has smtp_tls_CAfile = {value} for the service {service}, so Postfix does not verify the"
    " certificate of {key} with the CA file of the relay",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
OTHER_PASSWORD_MAPS = Kind(
    "other_password_maps",
    "critical",
    "A service in master.cf has a smtp_sasl_password_maps of its own, without the relay's password"
    " map.",
    "{where} has smtp_sasl_password_maps = {value} for the service {service}, so Postfix does not use"
    " the password map {table} for {key}",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
SENDER_LOGINS_OFF = Kind(
    "sender_logins_off",
    "warning",
    "A service in master.cf turns off smtp_sender_dependent_authentication, so that the logins of"
    " senders are not used.",
    "{where} has smtp_sender_dependent_authentication = {value} for the service {service}, so Postfix"
    " does not use the logins of senders for {key}",
    f"Remove that setting: {{command}}. {_RELOAD}",
    blocks=True,
)
AUTH_SOFT_BOUNCE_OFF = Kind(
    "auth_soft_bounce_off",
    "warning",
    "smtp_sasl_auth_soft_bounce = no: if SES rejects the login, mail is returned to its sender instead"
    " of waiting in the queue.",
    "{where} has smtp_sasl_auth_soft_bounce = {value}: if {key} rejects the login, for example after"
    " a key was deactivated, mail is returned to its sender instead of waiting in the queue",
    f"Remove that setting: {{command}}. {_RELOAD}",
)
OTHER_FLOW = Kind(
    "other_mail_flow",
    "notice",
    "Mail that does not go to SES is delivered by an SMTP client with the relay's TLS settings. Its"
    " server may not fulfil them.",
    "{mail} goes to {nexthop} ({setting}, {where}) through the service {transport}, for which"
    " smtp_tls_security_level = {level} of main.cf holds as well. Mail is deferred if that server's"
    " certificate can't be verified",
    f"{_OWN_CLIENT}. Ignore this finding if the server offers TLS with a certificate that can be"
    " verified",
    blocks=True,
)
OTHER_FLOW_WRAPPERMODE = replace(
    OTHER_FLOW,
    severity="critical",
    meaning="Mail that does not go to SES is delivered by an SMTP client for which smtp_tls_wrappermode ="
    " yes holds, to a port that does not expect TLS from the first byte. It is not delivered.",
    message="{mail} goes to {nexthop} ({setting}, {where}) through the service {transport}, for which"
    " smtp_tls_wrappermode = yes of main.cf holds as well. That server does not expect TLS from the"
    " first byte, so the mail is not delivered",
    remedy=_OWN_CLIENT,
)
OTHER_FLOW_OF_OWN_CLIENT = replace(
    OTHER_FLOW,
    meaning="Mail that does not go to SES is delivered by the SMTP client that SES has of its own. Its"
    " server may not fulfil the client's TLS settings, and has another login.",
    message="{mail} goes to {nexthop} ({setting}, {where}) through the service {transport}, which is for"
    " SES alone. That server may not fulfil its TLS settings, and its login is not used",
    remedy="Name another service there, such as smtp:{nexthop}. For a sender, use"
    " sender_dependent_default_transport_maps in place of sender_dependent_relayhost_maps",
)
OTHER_CLIENT = Kind(
    "other_client",
    "critical",
    "Mail to SES is delivered by another SMTP client than the one that SES has of its own, and that client"
    " lacks the login or verified TLS.",
    "{mail} goes to {nexthop} through the service {transport} ({setting}, {where}), and not through the"
    " relay's service {service}: {problem}",
    "Name the service {service} there, or another server",
    blocks=True,
)
NOT_RUNNING = Kind(
    "not_running",
    "warning",
    "Postfix is not running, so no mail is delivered.",
    "Postfix is not running, so no mail is delivered",
    "Run: postfix -c {directory} start; or start its service",
)

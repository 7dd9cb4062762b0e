# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common options: where they come from, which server they name, which login they give."""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import unquote, urlsplit

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    find_credentials,
    find_server,
    find_username_and_password,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    longest_common_part,
)

Options = dict[str, t.Any]

KEY: Options = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
HOST = "email-smtp.eu-west-1.amazonaws.com"


# the options, and the host, the port and tls that they name
SERVERS: list[tuple[Options, tuple[str, int, str]]] = [
    ({}, (HOST, 587, "starttls")),
    ({"tls": "starttls"}, (HOST, 587, "starttls")),
    ({"tls": "wrapper"}, (HOST, 465, "wrapper")),
    ({"port": 25}, (HOST, 25, "starttls")),
    ({"port": 587}, (HOST, 587, "starttls")),
    ({"port": 2587}, (HOST, 2587, "starttls")),
    ({"port": 465}, (HOST, 465, "wrapper")),
    ({"port": 2465}, (HOST, 2465, "wrapper")),
    ({"port": 2587, "tls": "starttls"}, (HOST, 2587, "starttls")),
    ({"port": 2465, "tls": "wrapper"}, (HOST, 2465, "wrapper")),
    ({"port": 10025}, (HOST, 10025, "starttls")),
    ({"port": 10465, "tls": "wrapper"}, (HOST, 10465, "wrapper")),
    ({"port": 1}, (HOST, 1, "starttls")),
    ({"port": 65535}, (HOST, 65535, "starttls")),
    ({"dualstack": True}, ("email-smtp.eu-west-1.api.aws", 587, "starttls")),
    (
        {"region": "us-east-1", "fips": True},
        ("email-smtp-fips.us-east-1.amazonaws.com", 587, "starttls"),
    ),
    (
        {"region": "us-east-1", "fips": True, "dualstack": True},
        ("email-smtp-fips.us-east-1.api.aws", 587, "starttls"),
    ),
    ({"endpoint": HOST}, (HOST, 587, "starttls")),
    ({"endpoint": HOST.upper()}, (HOST.upper(), 587, "starttls")),
    ({"endpoint": "mail.example.com", "port": 465}, ("mail.example.com", 465, "wrapper")),
    ({"endpoint": "h", "region": None}, ("h", 587, "starttls")),
    ({"endpoint": "h", "region": "af-south-1"}, ("h", 587, "starttls")),
]
REFUSED_SERVERS: list[tuple[Options, list[str]]] = [
    ({"region": None}, ["region is missing", "AWS_REGION"]),
    ({"region": "eu-west-1b"}, ["Did you mean 'eu-west-1'?"]),
    ({"region": "af-south-1"}, ["no SMTP endpoint"]),
    ({"fips": True}, ["no FIPS endpoint"]),
    ({"endpoint": HOST, "fips": True}, ["fips", "endpoint is given"]),
    ({"endpoint": HOST, "dualstack": True}, ["dualstack", "endpoint is given"]),
    ({"port": 465, "tls": "starttls"}, ["port 465", "'wrapper', not 'starttls'", "25, 587, 2587"]),
    ({"port": 2465, "tls": "starttls"}, ["port 2465", "'wrapper', not 'starttls'"]),
    ({"port": 25, "tls": "wrapper"}, ["port 25", "'starttls', not 'wrapper'", "465, 2465"]),
    ({"port": 587, "tls": "wrapper"}, ["port 587", "'starttls', not 'wrapper'"]),
    ({"port": 2587, "tls": "wrapper"}, ["port 2587", "'starttls', not 'wrapper'"]),
    ({"port": 0}, ["between 1 and 65535"]),
    ({"port": -1}, ["between 1 and 65535"]),
    ({"port": 65536}, ["between 1 and 65535"]),
    ({"endpoint": ""}, ["endpoint must be a plain host name"]),
    ({"endpoint": f"[{HOST}]"}, ["endpoint must be a plain host name", "no brackets"]),
    ({"endpoint": f"{HOST}:587"}, ["endpoint must be a plain host name", "no port"]),
    ({"endpoint": f"smtp://{HOST}"}, ["endpoint must be a plain host name", "no smtp://"]),
    ({"endpoint": f"{HOST}\n"}, ["endpoint must be a plain host name"]),
    ({"endpoint": HOST, "region": "us-east-1"}, ["another region", "us-east-1", HOST]),
    (
        {"endpoint": "email-smtp-fips.us-east-1.api.aws"},
        ["another region", "'eu-west-1'"],
    ),
    ({"endpoint": HOST, "region": SECRET_KEY}, ["region is not a region name"]),
    ({"endpoint": HOST, "region": [SECRET_KEY]}, ["region must be a string", "list"]),
]

LOGIN: Options = {"username": "user", "password": "pass"}
REFUSED_LOGINS: list[tuple[str, Options, list[str]]] = [
    ("nothing", {}, ["access_key is missing", "AWS_ACCESS_KEY_ID", "controller"]),
    ("no secret", {"access_key": ACCESS_KEY}, ["secret_key is missing", "AWS_SECRET_ACCESS_KEY"]),
    ("no ID", {"secret_key": SECRET_KEY}, ["access_key is missing", "AWS_ACCESS_KEY_ID"]),
    ("empty secret", {**KEY, "secret_key": ""}, ["secret_key is empty"]),
    ("newline", {**KEY, "secret_key": f"{SECRET_KEY}\n"}, ["white space after it"]),
    ("list", {**KEY, "secret_key": [SECRET_KEY]}, ["secret_key must be a string", "list"]),
    ("derived", {**KEY, "secret_key": PASSWORD_OF["eu-west-1"]}, ["already"]),
    ("swapped", {"access_key": SECRET_KEY, "secret_key": ACCESS_KEY}, ["not the secret"]),
    ("temporary", {**KEY, "access_key": "ASIAIOSFODNN7EXAMPLE"}, ["temporary credentials"]),
    ("user name", {**KEY, "access_key": "joe"}, ["access_key", "name of the IAM user"]),
    ("number", {**KEY, "access_key": 1234567890123456}, ["access_key must be a string", "int"]),
    ("no region", {**KEY, "region": None}, ["version 4 needs a region"]),
    ("version 2 alone", {**KEY, "region": None, "version": 2}, ["region is missing"]),
    ("version 3", {**KEY, "version": 3}, ["version must be 2 or 4"]),
    ("region", {**KEY, "region": "EU-WEST-1"}, ["Did you mean 'eu-west-1'?"]),
    ("region unused", {**KEY, "region": SECRET_KEY, "version": 2, "endpoint": HOST}, ["region"]),
    ("both pairs", {**KEY, **LOGIN}, ["either pair, not both"]),
    ("pair and a half", {**LOGIN, "access_key": ACCESS_KEY}, ["either pair, not both"]),
    ("no password", {"username": "user"}, ["password is missing", "together"]),
    ("empty password", {**LOGIN, "password": ""}, ["password is missing"]),
    ("masked password", {**LOGIN, "password": "********"}, ["password is what a program shows"]),
    ("no username", {"password": SECRET_KEY}, ["username is missing", "together"]),
    ("empty username", {**LOGIN, "username": ""}, ["username is missing"]),
    ("password list", {**LOGIN, "password": [SECRET_KEY]}, ["password must be a string", "list"]),
]


@pytest.mark.parametrize(("options", "expected"), SERVERS)
def test_server(options: Options, expected: tuple[str, int, str]) -> None:
    server = find_server({"region": "eu-west-1", **options})
    assert dataclasses.astuple(server) == expected
    assert server.relayhost == f"[{expected[0]}]:{expected[1]}"


@pytest.mark.parametrize(("options", "says"), REFUSED_SERVERS)
def test_refused_server(options: Options, says: list[str]) -> None:
    with pytest.raises(SesSmtpError) as caught:
        find_server({"region": "eu-west-1", **options})
    message = str(caught.value)
    assert not [part for part in says if part not in message], message
    assert len(longest_common_part(message, SECRET_KEY)) < 8


@pytest.mark.parametrize("region", ["eu-west-1", "eu-west-3"])
@pytest.mark.parametrize("version", [None, 4, "4"])
def test_derived_login(region: str, version: t.Any) -> None:
    credentials = find_credentials({**KEY, "region": region, "version": version})
    assert credentials.login.username == ACCESS_KEY
    assert credentials.login.password == PASSWORD_OF[region]
    assert credentials.region == region
    assert credentials.version == 4
    assert credentials.login.server.host == f"email-smtp.{region}.amazonaws.com"


@pytest.mark.parametrize("version", [2, "2"])
@pytest.mark.parametrize("region", ["eu-west-1", None])
def test_derived_login_of_version_2(version: t.Any, region: str | None) -> None:
    options = {**KEY, "region": region, "version": version, "endpoint": HOST}
    credentials = find_credentials(options)
    assert credentials.login.password == V2_PASSWORD
    assert credentials.version == 2
    assert credentials.region == region
    assert credentials.login.server.host == HOST


def test_endpoint_makes_a_region_without_smtp_acceptable() -> None:
    credentials = find_credentials({**KEY, "region": "me-south-1", "endpoint": "mail.example.com"})
    assert credentials.login.server.host == "mail.example.com"
    assert (credentials.region, credentials.version) == ("me-south-1", 4)


def test_given_login() -> None:
    password = PASSWORD_OF["eu-west-1"]
    credentials = find_credentials(
        {"username": "user", "password": password, "region": "eu-west-1"}
    )
    assert (credentials.login.username, credentials.login.password) == (
        "user",
        PASSWORD_OF["eu-west-1"],
    )
    assert credentials.version == 4


def test_given_login_of_another_server() -> None:
    credentials = find_credentials({**LOGIN, "endpoint": "mail.example.com"})
    assert (credentials.login.username, credentials.login.password) == ("user", "pass")
    assert (credentials.region, credentials.version) == (None, None)
    assert find_username_and_password(LOGIN) == ("user", "pass")


@pytest.mark.parametrize(
    ("case", "options", "says"), REFUSED_LOGINS, ids=[row[0] for row in REFUSED_LOGINS]
)
def test_refused_login(case: str, options: Options, says: list[str]) -> None:
    with pytest.raises(SesSmtpError) as caught:
        find_credentials({"region": "eu-west-1", **options})
    message = str(caught.value)
    assert not [part for part in says if part not in message], message
    assert len(longest_common_part(message, SECRET_KEY)) < 8


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-west-3", "eu-north-1"])
@pytest.mark.parametrize(
    ("tls", "scheme", "port"), [("starttls", "smtp", 587), ("wrapper", "smtps", 465)]
)
def test_url_survives_parsing(region: str, tls: str, scheme: str, port: int) -> None:
    credentials = find_credentials({**KEY, "region": region, "tls": tls})
    url = urlsplit(credentials.url)
    assert (url.scheme, url.hostname, url.port) == (scheme, credentials.login.server.host, port)
    assert url.username == ACCESS_KEY
    assert unquote(url.password or "") == PASSWORD_OF[region]
    assert (url.path, url.query, url.fragment) == ("", "", "")
    assert credentials.quoted_password == url.password


def test_url_of_any_login() -> None:
    credentials = find_credentials(
        {"username": "a@b:c/d", "password": "p@/:+% ?#", "endpoint": "h"}
    )
    url = urlsplit(credentials.url)
    assert (unquote(url.username or ""), unquote(url.password or "")) == ("a@b:c/d", "p@/:+% ?#")
    assert (url.hostname, url.port) == ("h", 587)


def test_representation_hides_the_password() -> None:
    credentials = find_credentials({**KEY, "region": "eu-west-1"})
    assert PASSWORD_OF["eu-west-1"] not in repr(credentials)
    assert ACCESS_KEY in repr(credentials)


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_is_not_read(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_PROFILE", raising=False)
    for value, is_said in (("", False), ("mail", True)):
        monkeypatch.setenv(variable, value)
        with pytest.raises(SesSmtpError, match=r"^access_key is missing") as error:
            find_credentials({"region": "eu-west-1"})
        assert ("profiles are not read" in str(error.value)) is is_said

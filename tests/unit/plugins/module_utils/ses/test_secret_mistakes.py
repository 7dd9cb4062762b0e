# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is given instead of a secret access key is refused with its remedy, or warned of."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._secret_mistakes import (
    find_mistake,
    find_mistake_of_password,
    has_iam_form,
    warn_of_form,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    check_secret_key,
    derive_password,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    SECRET_KEY,
    VECTORS,
    longest_common_part,
)

PAIR = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
PLUS = "wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEKEY"
NOT_RENDERED = "the template was not rendered"
ENCODED = "is the base64 text of a secret. Decode it with `| b64decode | trim`"
IN_ONE_TEXT = "Give the ID as access_key, and only the secret"
NAMED = "Give only the value, without the name"
MASKED = "is what a program shows in place of a secret"
NO_VALUE = "is the text of a variable that has no value"
PLACEHOLDER = "is a placeholder"
TAKE = "Take the secret out of it, like `.secret_access_key`"

MISTAKES: list[tuple[str, str]] = [
    # Secrets Manager, without from_json
    (json.dumps(PAIR), f"is JSON text. Parse it with `| from_json`. {TAKE}"),
    (json.dumps(PAIR, separators=(",", ":")), "| from_json"),
    (f"{json.dumps(PAIR, indent=2)}\n", "| from_json"),
    (json.dumps([SECRET_KEY]), "| from_json"),
    (str(PAIR), f"is the text of a dict. Don't make text of it. {TAKE}"),
    (str(PAIR).replace(" ", ""), "is the text of a dict"),
    (str([SECRET_KEY]), "is the text of a list"),
    ("{secret_access_key: x", "is the text of a dict"),
    # files of settings
    (f"AWS_SECRET_ACCESS_KEY={SECRET_KEY}", f"has its name before it, as in a file of settings. {NAMED}"),
    (f"export AWS_SECRET_ACCESS_KEY='{SECRET_KEY}'", NAMED),
    (f"aws_secret_access_key = {SECRET_KEY}\n", NAMED),
    (f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n", NAMED),
    (f"SecretAccessKey: {SECRET_KEY}", NAMED),
    (f"secret={SECRET_KEY}", NAMED),
    # the ID with it
    (f"{ACCESS_KEY}:{SECRET_KEY}", IN_ONE_TEXT),
    (f"{ACCESS_KEY} {SECRET_KEY}", IN_ONE_TEXT),
    (f"{ACCESS_KEY},{SECRET_KEY}\n", IN_ONE_TEXT),
    (f"Access key ID,Secret access key\n{ACCESS_KEY},{SECRET_KEY}\n", IN_ONE_TEXT),
    # where it is
    ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail/ses-Ab1Cd2", "is an ARN"),
    ("arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/ses", "is an ARN"),
    ("op://vault/ses/secret", "Look up the value with the lookup plugin of the store"),
    ("ref+awssecrets://mail/ses#/secret_access_key", "is the address of a secret"),
    # a template
    ("{{ ses_secret_access_key }}", NOT_RENDERED),
    ("{{ lookup('env', 'AWS_SECRET_ACCESS_KEY') }}", NOT_RENDERED),
    ("{% if x %}y{% endif %}", NOT_RENDERED),
    ("${AWS_SECRET_ACCESS_KEY}", NOT_RENDERED),
    ("$(pass show ses)", NOT_RENDERED),
    # encrypted
    ("ENC[AES256_GCM,data:p673w==,iv:YY=,aad:UQ=,tag:A=]", "is still encrypted, by sops or by eyaml"),
    ("ENC[PKCS7,MIIBeQYJKoZIhvcNAQcDoIIBajCCAWYCAQAxggEhMIIBHQIBADAF]", "is still encrypted"),
    ("$ANSIBLE_VAULT;1.1;AES256\n3132\n", "is still encrypted by ansible-vault"),
    ("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n", "is a PEM block"),
    # encoded
    (base64.b64encode(SECRET_KEY.encode()).decode(), ENCODED),
    (base64.b64encode(SECRET_KEY.encode()).decode().rstrip("="), ENCODED),
    (base64.b64encode(f"{SECRET_KEY}\n".encode()).decode(), ENCODED),
    (f"{base64.b64encode(SECRET_KEY.encode()).decode()}\n", ENCODED),
    (quote(SECRET_KEY, safe=""), "is percent-encoded, as it is in a URL. Decode it with `| urldecode`"),
    (quote(PLUS, safe="").lower(), "| urldecode"),
    # shown in its place
    ("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", MASKED),
    ("********", MASKED),
    ("***", MASKED),
    ("XXXXXXXX", MASKED),
    ("X" * 40, MASKED),
    ("***REDACTED***", MASKED),
    ("$REDACTED$", MASKED),
    ("REDACTED", MASKED),
    ("<redacted>", MASKED),
    ("(sensitive value)", MASKED),
    ("the output has been hidden due to the fact that 'no_log: true' was specified", MASKED),
    # nothing
    ("None", NO_VALUE),
    ("null", NO_VALUE),
    ("undefined\n", NO_VALUE),
    ("__omit_place_holder__5e3e2b3c", NO_VALUE),
    # to be replaced
    ("changeme", PLACEHOLDER),
    ("CHANGE_ME", PLACEHOLDER),
    ("<your secret access key>", PLACEHOLDER),
    ("YOUR_SECRET_ACCESS_KEY", PLACEHOLDER),
    ("your-secret-access-key", PLACEHOLDER),
    ("TODO", PLACEHOLDER),
]  # fmt: skip
#: Nobody can know that these are wrong.
WARNED = [
    "SECRET_KEY",
    "some+secret+key",
    "another+secret+key",
    SECRET_KEY[:-1],
    f"{SECRET_KEY}x",
    f"{SECRET_KEY[:-1]}=",
    "x-key==",
    "mysecret",
    "changes",
    "xx",
    base64.b64encode(b"a secret of another length").decode(),
    base64.b64encode(b"k" * 41).decode(),
]
NOT_WARNED = [SECRET_KEY, PLUS, "A" * 40, "0" * 40, "secret/access+key/of+the+number/00000002"]
#: The texts of some are no password either; what is left may be one of another server.
OF_PASSWORDS = ("op://", "arn:", "{{ ", "ENC[AES", "$ANSIBLE_VAULT", "***", "None", "VALUE_SPEC")


@pytest.mark.parametrize("beginning", OF_PASSWORDS)
def test_a_known_mistake_in_the_place_of_a_password(beginning: str) -> None:
    texts = [(text, says) for text, says in MISTAKES if text.startswith(beginning)]
    assert texts
    for text, says in texts:
        assert says in str(find_mistake_of_password(f" {text}\n"))


@pytest.mark.parametrize("password", ["changeme", "p@/:+% ?#", "{x", "a=b", PLUS, "secret=1"])
def test_what_may_be_a_password(password: str) -> None:
    assert find_mistake_of_password(password) is None


@pytest.mark.parametrize(("secret_key", "says"), MISTAKES)
def test_a_known_mistake(secret_key: str, says: str) -> None:
    with pytest.raises(SesSmtpError) as caught:
        derive_password(secret_key, "eu-west-1")
    message = str(caught.value)
    assert message.startswith("secret_key ")
    assert says in message
    assert says != ENCODED or message == f"secret_key {ENCODED}"
    for secret in (SECRET_KEY, PLUS, ACCESS_KEY):
        assert len(longest_common_part(message, secret)) < 8


@pytest.mark.parametrize("secret_key", WARNED)
def test_what_may_be_a_secret_is_warned_of(secret_key: str) -> None:
    check_secret_key(secret_key)
    assert warn_of_form(secret_key) == (
        "secret_key does not look like the secret access key of an IAM user, which has 40"
        " characters: letters, digits, '/' and '+'. SES refuses the password of a wrong secret."
        " Check the value"
    )


@pytest.mark.parametrize("secret_key", NOT_WARNED)
def test_what_looks_like_a_secret_is_not_warned_of(secret_key: str) -> None:
    assert find_mistake(secret_key) is None
    assert warn_of_form(secret_key) is None
    assert has_iam_form(secret_key)


def test_the_published_examples_stay_possible() -> None:
    examples = {row["secret_access_key"] for row in VECTORS} - {SECRET_KEY}
    assert examples == {"SECRET_KEY", "some+secret+key", "another+secret+key"}
    assert [find_mistake(example) for example in examples] == [None] * 3


@pytest.mark.parametrize("character", ["\u200b", "\ufeff"])
def test_trim_is_no_remedy_for_what_it_leaves(character: str) -> None:
    assert "| trim" in str(find_mistake(f"{SECRET_KEY}\u00a0"))
    assert "| trim" not in str(find_mistake(f"{SECRET_KEY}{character}"))

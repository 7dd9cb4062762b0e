# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The regions, their partitions and endpoints, and what is said of a region without SMTP."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses import _regions as regions
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import (
    check_region,
    check_smtp_region,
    partition_of,
    region_warning,
    smtp_endpoint,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    derive_password,
    find_password_version,
)
from ansible_collections.mailops.ses.tests.support.example_key import SECRET_KEY

# AWS General Reference, "Amazon SES endpoints and quotas".
SMTP_REGIONS = [
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1"),
    *("eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "sa-east-1"),
    *("ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-southeast-1", "ap-southeast-2", "us-gov-west-1", "us-gov-east-1"),
]
FIPS_REGIONS = [
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1"),
    *("us-gov-west-1", "us-gov-east-1"),
]
REGIONS_WITHOUT_SMTP = [
    *("af-south-1", "ap-south-2", "ap-southeast-3", "ap-southeast-5", "ca-west-1"),
    *("eu-central-2", "eu-south-1", "il-central-1", "me-central-1", "me-south-1"),
]
# Botocore has SES there, and the page does not mention them.
SMTP_UNKNOWN_REGIONS = [
    *("ap-east-2", "ap-southeast-4", "ap-southeast-6", "ap-southeast-7", "eu-south-2"),
    *("eusc-de-east-1", "mx-central-1"),
]
# A region of each partition without SES, and what the error calls the partition.
NO_SES = {
    "cn-north-1": "China (partition aws-cn)",
    "cn-northwest-1": "China (partition aws-cn)",
    "us-iso-east-1": "an isolated part of AWS (partition aws-iso)",
    "us-isob-east-1": "an isolated part of AWS (partition aws-iso-b)",
    "eu-isoe-west-1": "an isolated part of AWS (partition aws-iso-e)",
    "us-isof-south-1": "an isolated part of AWS (partition aws-iso-f)",
}
MISSPELT = {
    "eu-wset-1": "eu-west-1",
    "eu-wset-2": "eu-west-2",
    "us-esat-1": "us-east-1",
    "ap-sotheast-2": "ap-southeast-2",
    "ue-west-1": "eu-west-1",
}


def refusal(function: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> str:
    with pytest.raises(SesSmtpError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("region", [*SMTP_REGIONS, "xx-new-1", "ap-east-2"])
def test_endpoint(region: str) -> None:
    assert smtp_endpoint(region) == f"email-smtp.{region}.amazonaws.com"
    assert smtp_endpoint(region, dualstack=True) == f"email-smtp.{region}.api.aws"
    assert smtp_endpoint(region, False, True) == f"email-smtp.{region}.api.aws"


def test_endpoint_in_another_partition() -> None:
    assert smtp_endpoint("eusc-de-east-1") == "email-smtp.eusc-de-east-1.amazonaws.eu"
    dualstack = smtp_endpoint("eusc-de-east-1", dualstack=True)
    assert dualstack == "email-smtp.eusc-de-east-1.api.amazonwebservices.eu"


@pytest.mark.parametrize("region", SMTP_REGIONS)
def test_fips_endpoint(region: str) -> None:
    if region in FIPS_REGIONS:
        assert smtp_endpoint(region, fips=True) == f"email-smtp-fips.{region}.amazonaws.com"
        assert smtp_endpoint(region, True, True) == f"email-smtp-fips.{region}.api.aws"
    else:
        for dualstack in (False, True):
            message = refusal(smtp_endpoint, region, fips=True, dualstack=dualstack)
            assert all(name in message for name in [region, *FIPS_REGIONS])


def test_fips_where_smtp_is_not_known() -> None:
    assert "no FIPS endpoint" in refusal(smtp_endpoint, "ap-east-2", fips=True)
    assert smtp_endpoint("xx-new-1", fips=True) == "email-smtp-fips.xx-new-1.amazonaws.com"


@pytest.mark.parametrize("value", [None, "yes", 1, 0, "", []])
@pytest.mark.parametrize("option", ["fips", "dualstack"])
def test_endpoint_flag_is_a_bool(option: str, value: t.Any) -> None:
    message = refusal(smtp_endpoint, "us-east-1", **{option: value})
    assert f"{option} must be true or false" in message


def test_region_lists() -> None:
    assert sorted(regions.SMTP_REGIONS) == sorted(SMTP_REGIONS)
    assert sorted(regions.FIPS_REGIONS) == sorted(FIPS_REGIONS)
    assert sorted(regions.REGIONS_WITHOUT_SMTP) == sorted(REGIONS_WITHOUT_SMTP)
    assert sorted(regions.SMTP_UNKNOWN_REGIONS) == sorted(SMTP_UNKNOWN_REGIONS)
    known = SMTP_REGIONS + REGIONS_WITHOUT_SMTP + SMTP_UNKNOWN_REGIONS
    assert sorted(regions.KNOWN_REGIONS) == sorted(known)


def test_a_region_of_a_list_of_the_page_is_not_warned_of() -> None:
    for region in SMTP_REGIONS + REGIONS_WITHOUT_SMTP:
        assert region_warning(region) is None
    assert region_warning(None) is None


@pytest.mark.parametrize("region", SMTP_UNKNOWN_REGIONS)
def test_where_smtp_is_not_known(region: str) -> None:
    assert find_password_version(derive_password(SECRET_KEY, region)) == 4
    assert region_warning(region) == (
        f"region '{region}': AWS has SES there; whether it has SMTP was not known on "
        f"{regions.COMPARED_ON}. If the host can't be resolved, choose another region or Mail Manager"
    )


@pytest.mark.parametrize(("written", "meant"), MISSPELT.items(), ids=MISSPELT)
def test_a_misspelt_region(written: str, meant: str) -> None:
    assert find_password_version(derive_password(SECRET_KEY, written)) == 4
    assert region_warning(written) == (
        f"region '{written}' is not one that this collection knows. Did you mean '{meant}'? "
        "If the region is newer than this collection, ignore this warning"
    )
    # An availability zone of it, too.
    assert f"region '{written}a' is not" in refusal(check_region, f"{written}a")
    assert f"Did you mean '{meant}'?" in refusal(check_region, f"{written}a")


@pytest.mark.parametrize(
    "region", ["eu-west-9", "us-gov-east-2", "mx-central-2", "xx-new-1", "mx-west-1"]
)
def test_a_region_that_may_be_new(region: str) -> None:
    assert region_warning(region) == (
        f"region '{region}' is not one that this collection knows. Check the spelling. "
        "If the region is newer than this collection, ignore this warning"
    )
    assert f"Did you mean '{region}'?" in refusal(check_region, f"{region}a")


@pytest.mark.parametrize(("region", "where"), NO_SES.items(), ids=NO_SES)
def test_where_there_is_no_ses(region: str, where: str) -> None:
    refusing: list[tuple[t.Callable[..., t.Any], tuple[str, ...]]] = [
        (smtp_endpoint, (region,)),
        (check_smtp_region, (region,)),
        (derive_password, (SECRET_KEY, region)),
    ]
    for function, arguments in refusing:
        assert refusal(function, *arguments) == (
            f"region '{region}' is in {where}, where AWS has no SES as of {regions.COMPARED_ON}. "
            "Choose a region of another partition, which needs an AWS account and an access key "
            "there. If AWS has added SES since, or mail goes through a host of your own, give it "
            "as endpoint"
        )
    assert region_warning(region) is None
    assert (
        find_password_version(derive_password(SECRET_KEY, region, endpoint="mail.example.com")) == 4
    )


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-gov-west-1", "aws-us-gov"),
        ("us-west-1", "aws"),
        ("us-iso-west-1", "aws-iso"),
        ("us-isof-east-1", "aws-iso-f"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("eusc-de-east-1", "aws-eusc"),
        ("xx-new-1", "aws"),
    ],
)
def test_partition(region: str, partition: str) -> None:
    assert partition_of(region).name == partition


def test_domains() -> None:
    """Hosts of SES have names in these, and in none of a partition without SES."""
    names = ("amazonaws.com", "amazonaws.eu", "api.amazonwebservices.eu", "api.aws")
    assert names == regions.DOMAINS

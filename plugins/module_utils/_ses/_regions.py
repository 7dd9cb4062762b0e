# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""AWS's regions and partitions as far as SES goes, and the SMTP endpoint of a region.

Sources: AWS General Reference, "Amazon SES endpoints and quotas"
(https://docs.aws.amazon.com/general/latest/gr/ses.html) for what has an SMTP endpoint; botocore for
the partitions, their domains, and where SES is at all. ``make facts`` compares these lists with the
botocore of tests/requirements, and says what to add.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ._input_error import SesSmtpError, type_name

__all__ = (
    "COMPARED_ON",
    "COMPARED_WITH",
    "DOMAINS",
    "FIPS_REGIONS",
    "KNOWN_REGIONS",
    "PARTITIONS",
    "REGIONS_WITHOUT_SMTP",
    "SMTP_REGIONS",
    "SMTP_UNKNOWN_REGIONS",
    "Partition",
    "check_region",
    "check_smtp_region",
    "partition_of",
    "region_warning",
    "smtp_endpoint",
)

#: When the lists were compared with AWS's page and with botocore.
COMPARED_ON = "2026-11-28"
#: The version of botocore that they were compared with.
COMPARED_WITH = "1.44.5"

SMTP_REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
)
FIPS_REGIONS = (
    "ca-central-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
)
# AWS's page says that these have SES, but no SMTP endpoint.
REGIONS_WITHOUT_SMTP = (
    "af-south-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
)
# Botocore has SES in these, and AWS's page does not mention them.
SMTP_UNKNOWN_REGIONS = (
    "ap-east-2",
    "ap-southeast-4",
    "ap-southeast-6",
    "ap-southeast-7",
    "eu-south-2",
    "eusc-de-east-1",
    "mx-central-1",
)
KNOWN_REGIONS = SMTP_REGIONS + REGIONS_WITHOUT_SMTP + SMTP_UNKNOWN_REGIONS


class Partition(t.NamedTuple):
    """A part of AWS with accounts, access keys and domains of its own.

    The names of its regions begin with ``prefix``. ``what`` is what people call it.
    """

    name: str
    prefix: str
    domain: str
    dualstack_domain: str
    what: str = ""
    has_ses: bool = True


_REST = Partition("aws", "", "amazonaws.com", "api.aws")
_ISOLATED = "an isolated part of AWS"
#: The last is the one of all other regions.
PARTITIONS = (
    Partition("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
    Partition("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition(
        *("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        what="China",
        has_ses=False,
    ),
    Partition("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov", _ISOLATED, has_ses=False),
    Partition("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud", _ISOLATED, has_ses=False),
    Partition(
        *("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", _ISOLATED),
        has_ses=False,
    ),
    Partition(
        *("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", _ISOLATED),
        has_ses=False,
    ),
    _REST,
)
#: In which hosts of SES may have their names.
DOMAINS = tuple(
    sorted(
        {
            name
            for each in PARTITIONS
            if each.has_ses
            for name in (each.domain, each.dualstack_domain)
        }
    )
)

_KNOWN_GOOD_REGIONS = frozenset(SMTP_REGIONS)
_REGION_FORM = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?")
# A whole word in any text, so that it is found in a host name; an availability zone's letter may follow.
_REGION_IN_TEXT = re.compile(r"(?<![a-z0-9-])([a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?)(?![0-9-])")

# What may stand around a region's name in an error: an availability zone's letter, an SES host name.
_DOMAIN = "|".join(map(re.escape, DOMAINS))
_AROUND_A_REGION = re.compile(
    rf"\s*\[?(?:email-smtp(?:-fips)?\.)?(?:[a-z]|\.(?:{_DOMAIN}))?\]?(?::[0-9]{{1,5}})?\s*"
)

_REGION_EXPECTED = "a region name in lower case, like 'eu-west-1'"


def partition_of(region: str) -> Partition:
    """Return the partition that ``region``, a well-formed name, is in."""
    return next(each for each in PARTITIONS if region.startswith(each.prefix))


def smtp_endpoint(region: str, fips: bool = False, dualstack: bool = False) -> str:
    """Return the host name of the SES SMTP endpoint in ``region``.

    ``fips`` asks for the endpoint with FIPS 140 validated cryptography, ``dualstack`` for the
    one that has IPv6 addresses too.

    :raises SesSmtpError: if ``region`` is no region name or has no such endpoint.

    Source of the names: https://docs.aws.amazon.com/general/latest/gr/ses.html.
    """
    for name, value in (("fips", fips), ("dualstack", dualstack)):
        if not isinstance(value, bool):
            raise SesSmtpError(f"{name} must be true or false, not {type_name(value)}")
    check_region(region)
    check_smtp_region(region)
    if fips and region in KNOWN_REGIONS and region not in FIPS_REGIONS:
        raise SesSmtpError(
            f"fips: SES has no FIPS endpoint for SMTP in region '{region}'. It has one in "
            f"{', '.join(FIPS_REGIONS)}. Choose one of these, or set fips to false"
        )
    name = "email-smtp-fips" if fips else "email-smtp"
    partition = partition_of(region)
    domain = partition.dualstack_domain if dualstack else partition.domain
    return f"{name}.{region}.{domain}"


def check_region(region: t.Any) -> None:
    """Check that ``region`` has the form of a region name; whether AWS has it is another question.

    :raises SesSmtpError: if not, with the region that was probably meant.
    """
    if not isinstance(region, str):
        raise SesSmtpError(f"region must be a string, not {type_name(region)}")
    if _REGION_FORM.fullmatch(region):
        return
    if not region.strip():
        raise SesSmtpError(f"region is empty. Expected {_REGION_EXPECTED}")
    found, guess = _guess_region(region)
    hint = f". Did you mean '{guess}'?" if guess else ""
    # Somebody who mixes the arguments up has the secret here, so only what looks harmless is shown.
    around = region.lower().replace(found, "", 1) if found else region
    shown = f"{str(region)!r} " if found and _AROUND_A_REGION.fullmatch(around) else ""
    raise SesSmtpError(f"region {shown}is not {_REGION_EXPECTED}{hint}")


def check_smtp_region(region: str) -> None:
    """Check that SES may take mail over SMTP in ``region``, a well-formed name.

    :raises SesSmtpError: if AWS says that it has no SES there, or no SMTP endpoint.
    """
    partition = partition_of(region)
    if not partition.has_ses:
        raise SesSmtpError(
            f"region '{region}' is in {partition.what} (partition {partition.name}), where AWS has "
            f"no SES as of {COMPARED_ON}. Choose a region of another partition, which needs an AWS "
            "account and an access key there. If AWS has added SES since, or mail goes through a "
            "host of your own, give it as endpoint"
        )
    if region in REGIONS_WITHOUT_SMTP:
        area = region.split("-", 1)[0]
        near = [name for name in SMTP_REGIONS if name.split("-", 1)[0] == area]
        near = near or difflib.get_close_matches(region, SMTP_REGIONS, n=3, cutoff=0.0)
        raise SesSmtpError(
            f"region '{region}' has SES, but no SMTP endpoint. Near it by name: {', '.join(near)}. "
            "AWS's own answer is Mail Manager: create an ingress endpoint there, and give its host as "
            "endpoint, with its username and password. If AWS has added an SMTP endpoint since, or "
            "mail goes through a host of your own, give it as endpoint"
        )


def region_warning(region: str | None) -> str | None:
    """Return what to warn of if SMTP in ``region``, a well-formed name, is not known.

    Else None, without a region too. AWS adds regions, so it may be right all the same.
    """
    if region is None or region in _KNOWN_GOOD_REGIONS or region in REGIONS_WITHOUT_SMTP:
        return None
    if not partition_of(region).has_ses:
        return None  # an error, or an endpoint is given
    if region in SMTP_UNKNOWN_REGIONS:
        return (
            f"region '{region}': AWS has SES there; whether it has SMTP was not known on "
            f"{COMPARED_ON}. If the host can't be resolved, choose another region or Mail Manager"
        )
    guess = _similar_region(region)
    hint = f"Did you mean '{guess}'?" if guess else "Check the spelling."
    return (
        f"region '{region}' is not one that this collection knows. {hint} "
        "If the region is newer than this collection, ignore this warning"
    )


def _similar_region(region: str) -> str | None:
    """Return the region of which ``region`` is probably a misspelling, None if of none.

    One that differs by its number alone is rather a new one.
    """
    name = region.rpartition("-")[0]
    if region in KNOWN_REGIONS or any(known.startswith(f"{name}-") for known in KNOWN_REGIONS):
        return None
    swapped = [known for known in KNOWN_REGIONS if sorted(known) == sorted(region)]
    close = swapped or difflib.get_close_matches(region, KNOWN_REGIONS, n=1, cutoff=0.85)
    return close[0] if close else None


def _guess_region(text: str) -> tuple[str | None, str | None]:
    """Return the region's name in ``text``, and the region that somebody probably meant by it.

    Both are None if there is no telling.
    """
    text = re.sub(r"[\s_]+", "-", text.strip().lower())
    found = _REGION_IN_TEXT.search(text)
    if found:
        return found.group(1), _similar_region(found.group(1)) or found.group(1)
    if f"{text}-1" in _KNOWN_GOOD_REGIONS:
        return f"{text}-1", f"{text}-1"
    close = difflib.get_close_matches(text, KNOWN_REGIONS, n=1, cutoff=0.75)
    return (close[0], close[0]) if close else (None, None)

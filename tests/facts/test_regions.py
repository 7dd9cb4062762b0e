# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection knows of AWS's regions and partitions is what the pinned botocore has.

Botocore knows where SES is, and which domains a partition has. It does not know where SES takes mail
over SMTP: only AWS's page does, https://docs.aws.amazon.com/general/latest/gr/ses.html. So a region
that is new in botocore has to be looked up there.
"""

from __future__ import annotations

import typing as t

import botocore
import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses import _regions as known
from botocore.loaders import Loader

PAGE = "https://docs.aws.amazon.com/general/latest/gr/ses.html"
FILE = "plugins/module_utils/_ses/_regions.py"
#: botocore's name of SES.
SES = "email"

DATA: dict[str, t.Any] = Loader().load_data("endpoints")
OUTPUTS = {each["id"]: each["outputs"] for each in Loader().load_data("partitions")["partitions"]}
PARTITIONS: dict[str, dict[str, t.Any]] = {each["partition"]: each for each in DATA["partitions"]}


def ses_endpoints(partition: str) -> dict[str, t.Any]:
    """SES's endpoints in a partition, by region; pseudo-regions such as fips-us-east-1 left out."""
    endpoints = PARTITIONS[partition]["services"].get(SES, {}).get("endpoints", {})
    return {
        name: each for name, each in endpoints.items() if name in PARTITIONS[partition]["regions"]
    }


def test_the_regions_with_ses() -> None:
    found = {region for partition in PARTITIONS for region in ses_endpoints(partition)}
    new, gone = sorted(found - {*known.KNOWN_REGIONS}), sorted({*known.KNOWN_REGIONS} - found)
    assert not new, (
        f"botocore {botocore.__version__} has SES in {', '.join(new)}. Look on {PAGE} whether there"
        f" is an SMTP endpoint, and add them to SMTP_REGIONS, REGIONS_WITHOUT_SMTP or"
        f" SMTP_UNKNOWN_REGIONS in {FILE}, with today's date in COMPARED_ON"
    )
    assert not gone, (
        f"botocore {botocore.__version__} has no SES in {', '.join(gone)} any more. Look on {PAGE},"
        f" and remove them from the lists in {FILE}"
    )


def test_a_region_is_in_one_list() -> None:
    assert len({*known.KNOWN_REGIONS}) == len(known.KNOWN_REGIONS)
    assert {*known.FIPS_REGIONS} <= {*known.SMTP_REGIONS}


def test_the_regions_with_fips() -> None:
    """Those of SES's API, which are those of AWS's page for SMTP."""
    found = {
        region
        for partition in PARTITIONS
        for region, endpoint in ses_endpoints(partition).items()
        if any("fips" in variant["tags"] for variant in endpoint.get("variants", ()))
    }
    assert found == {*known.FIPS_REGIONS}, (
        f"botocore {botocore.__version__} has FIPS endpoints of SES's API in {sorted(found)}. Look"
        f" on {PAGE} which of them there are for SMTP, and correct FIPS_REGIONS in {FILE}"
    )


@pytest.mark.parametrize("name", PARTITIONS)
def test_partition(name: str) -> None:
    ours = {each.name: each for each in known.PARTITIONS}.get(name)
    assert ours, f"botocore has the partition {name}. Add it to PARTITIONS in {FILE}"
    domains = (OUTPUTS[name]["dnsSuffix"], OUTPUTS[name]["dualStackDnsSuffix"])
    assert (ours.domain, ours.dualstack_domain) == domains
    assert ours.has_ses == bool(ses_endpoints(name)), f"has_ses of {name} in {FILE} is outdated"


@pytest.mark.parametrize("name", PARTITIONS)
def test_the_partition_of_a_region(name: str) -> None:
    for region in PARTITIONS[name]["regions"]:
        assert known.partition_of(region).name == name, region


def test_no_partition_is_gone() -> None:
    assert {each.name for each in known.PARTITIONS} == {*PARTITIONS}


def test_the_lists_were_compared_with_this_botocore() -> None:
    """So that a date in a message is never older than the pin."""
    assert botocore.__version__ == known.COMPARED_WITH, (
        f"the lists in {FILE} are still right by botocore {botocore.__version__}, if nothing else"
        f" failed here. Compare them with {PAGE}, then set COMPARED_WITH to"
        f" {botocore.__version__!r}, and COMPARED_ON to today's date there and in the guide"
    )

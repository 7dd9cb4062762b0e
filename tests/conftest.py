# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all tests: where the collection is, and that no test is left out silently.

Runs on Python 3.7 too, for the tests of the module_utils.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent
_POSTFIX_FOLDERS = (os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")


def _importable() -> bool:
    try:
        return importlib.util.find_spec("ansible_collections.mailops.ses.plugins") is not None
    except ImportError:
        return False


def _provide_collection() -> None:
    """Make the collection importable for a plain ``pytest tests/unit`` in a checkout.

    The noxfile stages the collection by itself and starts pytest there.
    """
    if _importable():
        return
    collections = _ROOT / "build" / "pytest"
    staging = _ROOT / "tests" / "tooling" / "staging.py"
    subprocess.run([sys.executable, str(staging), str(collections)], check=True)
    sys.path.insert(0, str(collections))
    # For the programs that the tests start.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(collections), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    importlib.invalidate_caches()


def _provide_programs() -> None:
    """Let tests find the programs beside this Python first: ansible-playbook and the like."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])


_provide_collection()
_provide_programs()


def _lacking() -> dict[str, str]:
    """What this machine can't do, as marker and the reason for people."""
    lacking = {}
    if os.geteuid() != 0:
        lacking["root"] = "root"
    if shutil.which("postmap", path=os.pathsep.join(_POSTFIX_FOLDERS)) is None:
        lacking["postfix"] = "Postfix"
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        lacking["browser"] = "Chromium and its WebDriver"
    return lacking


class _LeftOut:
    """Counts the tests that did not run; a skipped one makes the run fail."""

    def __init__(self) -> None:
        self.not_run: dict[str, int] = {}
        self.skipped: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect what this machine can't run; in CI that is an error."""
        lacking = _lacking()
        runnable, deselected = [], []
        for item in items:
            needs = [need for marker, need in lacking.items() if item.get_closest_marker(marker)]
            if needs:
                deselected.append(item)
                reason = " and ".join(needs)
                self.not_run[reason] = self.not_run.get(reason, 0) + 1
            else:
                runnable.append(item)
        if deselected and os.environ.get("CI"):
            raise pytest.UsageError("In CI every test must run: " + "; ".join(self.lines()))
        if deselected:
            config.hook.pytest_deselected(items=deselected)
            items[:] = runnable

    def lines(self) -> list[str]:
        """What was left out, for people and for the summary of ``make test``."""
        return [f"NOT RUN: {count} tests need {need}" for need, count in self.not_run.items()]

    def _report(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's report."""
        self._report(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file's report."""
        self._report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail if a test was skipped, or if nothing is left to run but tests were deselected."""
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.not_run and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: t.Any) -> None:
        """Say it where it is seen."""
        for line in self.lines():
            terminalreporter.write_line(line, yellow=True, bold=True)
        for name in self.skipped:
            terminalreporter.write_line(f"SKIPPED, which is a failure here: {name}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the rules."""
    config.pluginmanager.register(_LeftOut(), "mailops-left-out")


@pytest.fixture(scope="session")
def collections_path() -> Path:
    """The folder that holds ansible_collections/mailops/ses: what ANSIBLE_COLLECTIONS_PATH takes."""
    spec = importlib.util.find_spec("ansible_collections.mailops.ses")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))).parents[2]

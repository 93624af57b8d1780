"""With `BALANCE_GATEWAY_REQUIRE_ALL=1` in the environment, a test that skips has failed.

A test may skip where a tool is not installed. In continuous integration every tool is installed,
so a skip there means that something is no longer tested.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest

REQUIRE_ALL = "BALANCE_GATEWAY_REQUIRE_ALL"


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure is reported as skipped too, but it has run.
    if os.environ.get(REQUIRE_ALL) != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    where, line, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
    report.outcome = "failed"
    # The reason comes first: the summary of a run cuts long lines.
    report.longrepr = f"{reason} ({REQUIRE_ALL}=1 forbids skipping: {where}:{line})"


# Outermost, so that pytest's own wrapper has marked the expected failures before.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, pytest.TestReport]:
    report: pytest.TestReport = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    _fail_if_skipped(report)
    return report

"""Rules of the whole suite: the order of its files, and no skipped test where all tools are.

Files that take long start first: with several workers, the last file would otherwise keep one of
them busy while the others have nothing left to do.

With `BALANCE_GATEWAY_REQUIRE_ALL=1` in the environment, a test that skips has failed. A test may
skip where a tool is not installed. In continuous integration every tool is installed, so a skip
there means that something is no longer tested.
"""

import gc
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made, and run, depends on what else the machine does.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], parent=settings()
)
settings.load_profile("suite")

REQUIRE_ALL = "BALANCE_GATEWAY_REQUIRE_ALL"

#: The files that take longest, the longest first.
SLOW_FILES = (
    "tests/history/test_simulation.py",
    "tests/project/test_code_rules.py",
    "tests/system/test_commands.py",
    "tests/system/test_operator_day.py",
    "tests/web/test_page_states.py",
    "tests/web/test_page_on_replicas.py",
    "tests/web/test_page_axe.py",
    "tests/system/test_workers.py",
    "tests/history/test_live.py",
    "tests/web/test_page_on_demo.py",
    "tests/system/test_demo.py",
    "tests/system/test_remote_commands.py",
    "tests/system/test_shares.py",
    "tests/system/test_overload.py",
    "tests/storage/test_ledger.py",
    "tests/system/test_hostile_responses.py",
    "tests/system/test_shared_cache.py",
    "tests/mutation/test_run.py",
    "tests/storage/test_cancellation.py",
    "tests/pipeline/calls/test_within_budget.py",
    "tests/pipeline/calls/test_status_changes.py",
    "tests/config/test_whole_file.py",
)
_PLACES = {file: place for place, file in enumerate(SLOW_FILES)}


def pytest_configure(config: pytest.Config) -> None:
    # The processes that tests start would each compile the product, for half a second of CPU.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # xdist would start the files with most tests first; the slowest have few.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # The modules and tests live until the end: to look for garbage among these 400,000 objects
    # takes a fifth of collection, and a third of a second at each full collection afterwards.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _PLACES.get(item.nodeid.split("::")[0], len(_PLACES)))


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

"""The day of docs/operator.md: its commands as processes, on real PostgreSQL and Redis."""

import csv
import io
import json
import shutil
import urllib.request
from collections.abc import Iterator

import pytest

from tests.storage.postgresql_servers import PACKAGES_ARE_INSTALLED
from tests.system.operator_day import PAGE, Machine, normalise, open_machine, run_day

pytestmark = pytest.mark.skipif(
    not PACKAGES_ARE_INSTALLED or shutil.which("curl") is None,
    reason="needs Debian's packages postgresql and curl",
)


@pytest.fixture(scope="module")
def day() -> Iterator[tuple[Machine, str]]:
    """A machine at the end of the day, and the page with what it has printed."""
    with open_machine() as machine:
        yield machine, run_day(PAGE.read_text(encoding="utf-8"), machine)


def test_the_operator_s_day_prints_what_its_page_shows(day: tuple[Machine, str]) -> None:
    """After a change of an output: python -m tests.system.operator_day."""
    assert normalise(day[1]) == normalise(PAGE.read_text(encoding="utf-8"))


def test_each_opening_balance_was_sent_once_and_is_there_after_the_restore(
    day: tuple[Machine, str],
) -> None:
    machine, _ = day
    with urllib.request.urlopen(f"{machine.sandbox_url}/_control/requests", timeout=30) as response:
        requests = json.load(response)["requests"]
    sent = [
        one["path"]
        for one in requests
        # At Layer a write is two requests; this is the second.
        if one["method"] == "PUT"
        or (one["method"] == "POST" and one["path"].endswith("/opening-balance"))
    ]
    text = (machine.folder / "openings.csv").read_text()
    planned = {
        row["Account"]: row["Amount"]
        .replace(".", "")
        .replace(",", ".")
        .replace("(", "-")
        .strip(")")
        for row in csv.DictReader(io.StringIO(text), delimiter=";")
    }

    shown = machine.run(f"balance-gateway opening-balances show {' '.join(planned)} --format csv")

    amounts = {row["id"]: row["amount"] for row in csv.DictReader(io.StringIO(shown))}
    assert len(sent) == len(set(sent)) == len(planned) == 40
    assert amounts == planned

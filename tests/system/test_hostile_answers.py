"""Answers that no provider should give: an error in time, little memory, and nothing kept."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import Gateway, demo, free_port, process, wait_until_ready

ACCOUNTS = ["light-operating-eur", "asset-operating-checking", "layer-operating-checking"]
BALANCES = """query ($ids: [ID!]!, $asOf: Date) { nodes(ids: $ids) { ... on BankAccount {
  balance(asOf: $asOf) { ledger { minorUnits } freshness { state } } } } }"""
HUGE = 200 * 2**20

FAULTS: dict[str, dict[str, Any]] = {
    "error body with 200": {"kind": "error_body_200"},
    "figures of another type": {"kind": "wrong_types"},
    "NaN": {"kind": "nan"},
    "1e400": {"kind": "overflow"},
    "a body of 200 MB": {"kind": "huge_json", "bytes": HUGE},
    "a body without end": {"kind": "endless_body", "bytes": 8 * HUGE},
    "headers without end": {"kind": "endless_headers", "bytes": 8 * HUGE},
    "a redirect elsewhere": {"kind": "redirect", "location": "https://elsewhere.example/x"},
}
DESIGNED = {
    "PROVIDER_BAD_RESPONSE",
    "PROVIDER_REJECTED",  # an error in the provider's own shape, whatever the status
    "PROVIDER_TIMEOUT",
    "PROVIDER_UNAVAILABLE",
}


def peak_memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, int]]:
    """A gateway in a process of its own, before the sandbox of a demo."""
    data_dir = tmp_path_factory.mktemp("apart")
    port = free_port()
    with demo(data_dir) as (_, printed):
        arguments = ("serve", "--config", str(data_dir / "gateway.toml"), "--port", str(port))
        with process(*arguments) as started:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, started)
            yield Gateway(url, printed["sandbox_url"], printed["read_key"]), started.pid


@pytest.mark.parametrize("name", FAULTS)
def test_a_hostile_answer_is_an_error_in_time_that_costs_and_leaves_nothing(
    apart: tuple[Gateway, int], name: str
) -> None:
    gateway, pid = apart
    as_of = f"2026-02-{1 + list(FAULTS).index(name):02}"
    # The tokens are there, and the breakers closed, before anything is wrong.
    gateway.data(BALANCES, ids=ACCOUNTS, asOf="2026-02-20")
    before_mb = peak_memory_mb(pid)
    gateway.control("POST", "faults", {"provider": "any", "times": None, **FAULTS[name]})

    started_s = time.monotonic()
    hostile = gateway.ask(BALANCES, ids=ACCOUNTS, asOf=as_of)
    took_s = time.monotonic() - started_s
    grown_mb = peak_memory_mb(pid) - before_mb
    gateway.control("DELETE", "faults")
    healed = gateway.ask(BALANCES, ids=ACCOUNTS, asOf=as_of)
    while "errors" in healed:
        # A breaker that opened meanwhile gives the provider a pause.
        assert {error["extensions"]["code"] for error in healed["errors"]} <= DESIGNED
        time.sleep(0.2)
        healed = gateway.ask(BALANCES, ids=ACCOUNTS, asOf=as_of)

    assert [node["balance"] for node in hostile["data"]["nodes"]] == [None] * 3
    assert {error["extensions"]["code"] for error in hostile["errors"]} <= DESIGNED
    assert took_s < 30, "the deadline of a request"
    assert grown_mb < 60
    states = [node["balance"]["freshness"]["state"] for node in healed["data"]["nodes"]]
    assert set(states) <= {"LIVE", "CACHED"}
    assert None not in [node["balance"]["ledger"] for node in healed["data"]["nodes"]]

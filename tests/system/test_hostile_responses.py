"""Hostile provider responses: an error in time, bounded memory, and nothing cached."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port
from tests.system.processes import GatewayClient, run_demo, run_process, wait_until_ready

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
EXPECTED_CODES = {
    "PROVIDER_BAD_RESPONSE",
    "PROVIDER_REJECTED",  # an error in the provider's own format, with any status
    "PROVIDER_TIMEOUT",
    "PROVIDER_UNAVAILABLE",
}


def peak_memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture(scope="module")
def isolated_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayClient, int]]:
    """A gateway in its own process, in front of the sandbox of a demo."""
    data_dir = tmp_path_factory.mktemp("apart")
    port = free_port()
    with run_demo(data_dir) as (_, printed):
        arguments = ("serve", "--config", str(data_dir / "gateway.toml"), "--port", str(port))
        with run_process(*arguments) as started:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, started)
            yield GatewayClient(url, printed["sandbox_url"], printed["read_key"]), started.pid


@pytest.mark.parametrize("name", FAULTS)
def test_a_hostile_response_is_an_error_and_is_not_cached(
    isolated_gateway: tuple[GatewayClient, int], name: str
) -> None:
    gateway, pid = isolated_gateway
    as_of = f"2026-02-{1 + list(FAULTS).index(name):02}"
    # Get tokens and close the breakers before the fault begins.
    gateway.data(BALANCES, ids=ACCOUNTS, asOf="2026-02-20")
    before_mb = peak_memory_mb(pid)
    gateway.control("POST", "faults", {"provider": "any", "times": None, **FAULTS[name]})

    started_s = time.monotonic()
    hostile = gateway.query(BALANCES, ids=ACCOUNTS, asOf=as_of)
    elapsed_s = time.monotonic() - started_s
    grown_mb = peak_memory_mb(pid) - before_mb
    gateway.control("DELETE", "faults")
    recovered = gateway.query(BALANCES, ids=ACCOUNTS, asOf=as_of)
    while "errors" in recovered:
        # A breaker that opened meanwhile pauses the calls to its provider.
        assert {error["extensions"]["code"] for error in recovered["errors"]} <= EXPECTED_CODES
        time.sleep(0.2)
        recovered = gateway.query(BALANCES, ids=ACCOUNTS, asOf=as_of)

    assert [node["balance"] for node in hostile["data"]["nodes"]] == [None] * 3
    assert {error["extensions"]["code"] for error in hostile["errors"]} <= EXPECTED_CODES
    assert elapsed_s < 30, "the request timeout"
    assert grown_mb < 60
    states = [node["balance"]["freshness"]["state"] for node in recovered["data"]["nodes"]]
    assert set(states) <= {"LIVE", "CACHED"}
    assert None not in [node["balance"]["ledger"] for node in recovered["data"]["nodes"]]

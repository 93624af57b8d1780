"""Shares of a connector: a key that floods it with live reads starves no write and no reader."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.system.processes import GatewayClient, run_demo

FLOOD = """{ bankAccounts(filter: { providers: [LIGHT] }, first: 51) { nodes {
  today: balance(maxAgeSeconds: 0) { ledger { minorUnits } }
  first: balance(asOf: "2026-03-01", maxAgeSeconds: 0) { ledger { minorUnits } }
  second: balance(asOf: "2026-03-02", maxAgeSeconds: 0) { ledger { minorUnits } } } } }"""
LIST = "{ bankAccounts(filter: { providers: [LIGHT] }, first: 51) { nodes { id currency } } }"
READ = """query ($id: ID!) { bankAccount(id: $id) { balance { freshness { state } } } }"""
WRITE = """mutation ($input: UpsertOpeningBalanceInput!) { upsertOpeningBalance(input: $input) {
  __typename ... on OpeningBalanceRejected { code message } } }"""

WRITES = 25


def measure_s(act: Callable[[], None]) -> float:
    started_s = time.monotonic()
    act()
    return time.monotonic() - started_s


def test_a_flood_of_live_reads_starves_no_write_and_no_reader(tmp_path: Path) -> None:
    """One read key on one connection once stopped 24 of 25 writes for 75 seconds."""
    with run_demo(tmp_path) as (_, printed):
        url = printed["graphql_url"].removesuffix("/graphql")
        admin = GatewayClient(url, printed["sandbox_url"], printed["admin_key"])
        accounts = admin.data(LIST)["bankAccounts"]["nodes"]
        outcomes: list[dict[str, str]] = []
        reads_s: list[float] = []
        is_over = threading.Event()
        flooded = threading.Semaphore(0)

        def flood() -> None:
            headers = {"Authorization": f"Bearer {printed['read_key']}"}
            with httpx.Client(headers=headers, trust_env=False, timeout=60) as client:
                while not is_over.is_set():
                    client.post(f"{url}/graphql", json={"query": FLOOD})
                    flooded.release()

        def write(number: int) -> None:
            account = accounts[number]
            amount = {"minorUnits": str(1000 + number), "currency": account["currency"]}
            variables = {"accountId": account["id"], "amount": amount}
            variables["effectiveAt"] = "2026-01-01T00:00:00Z"
            outcomes.append(admin.data(WRITE, input=variables)["upsertOpeningBalance"])

        def read() -> None:
            result = admin.query(READ, id=accounts[len(reads_s) % 51]["id"])
            assert "errors" not in result or result["errors"][0]["extensions"]["retryable"]

        alone_s = measure_s(lambda: write(0))
        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            # By then the flood has asked for more than the budget of a minute.
            for _ in range(3):
                assert flooded.acquire(timeout=60)
            writes_s = []
            for number in range(WRITES):
                writes_s.append(measure_s(lambda number=number: write(number)))
                reads_s.extend(measure_s(read) for _ in range(4))
        finally:
            is_over.set()
            flooding.join()

    assert [each["__typename"] for each in outcomes] == ["OpeningBalanceApplied"] * (WRITES + 1)
    # Far below what a starved call takes, and above what other work on the machine costs.
    assert max(writes_s) < alone_s + 8.0
    assert sorted(reads_s)[len(reads_s) * 99 // 100 - 1] < 4.0

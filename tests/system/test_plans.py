"""A plan is carried out by two replicas as processes, and one of them is killed in the middle."""

import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway_sandbox import build_catalogue
from tests.servers import free_port, redis_server
from tests.system.processes import GatewayClient, Process, run_process, wait_until_ready

ROWS = 40
FIRST_DAY = "2020-01-01T00:00:00Z"
ACCOUNTS = """{ bankAccounts(first: 200) { nodes { id currency provider capabilities } } }"""
MAKE = """mutation ($rows: [OpeningBalancePlanRowInput!]!) {
  planOpeningBalances(input: {rows: $rows}) { __typename
    ... on OpeningBalancePlan { id } ... on OpeningBalancePlanRejected { message } } }"""
APPLY = "mutation ($id: ID!) { applyPlan(id: $id) { __typename } }"
SHOW = """query ($id: ID!) { openingBalancePlan(id: $id) { state
  counts { pending applied uncertain rejected } } }"""


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[tuple[Process, GatewayClient]]]:
    """Two processes with one SQLite file and one Redis, over the sandbox."""
    port = free_port()
    sandbox = f"http://127.0.0.1:{port}"
    files = write_demo_files(tmp_path / "data", build_catalogue(1), sandbox)
    config = files.config_path
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path))
        config.write_text(f'[cache]\nurl = "{redis.url}"\n\n{config.read_text()}')
        stack.enter_context(run_process("sandbox", "--port", str(port)))
        started = []
        for _ in range(2):
            port = free_port()
            arguments = ("serve", "--config", str(config), "--port", str(port))
            process = stack.enter_context(run_process(*arguments))
            client = GatewayClient(f"http://127.0.0.1:{port}", sandbox, files.admin_key)
            started.append((process, client))
        for process, client in started:
            wait_until_ready(client.url, process)
        yield started


def wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def let_time_pass(database: Path) -> None:
    """Make what the killed process had begun two minutes older, instead of waiting for that."""
    then = f"{datetime.now(UTC) - timedelta(minutes=2):%Y-%m-%dT%H:%M:%S.%fZ}"
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.execute("UPDATE writes SET started_at = ? WHERE outcome = 'started'", [then])
        connection.execute("UPDATE plans SET owned_until = ?", [then])


def is_write(request: dict[str, Any]) -> bool:
    return request["method"] != "GET" and request["path"].endswith("balance")


def test_a_replica_killed_in_a_plan_is_replaced_and_no_row_is_sent_twice(
    replicas: list[tuple[Process, GatewayClient]], tmp_path: Path
) -> None:
    [(first, one), (_, other)] = replicas
    nodes = one.data(ACCOUNTS)["bankAccounts"]["nodes"]
    settable = [node for node in nodes if "WRITE_OPENING_BALANCE" in node["capabilities"]]
    chosen = [
        node
        for provider in ("LIGHT", "ASSET", "LAYER")
        for node in [node for node in settable if node["provider"] == provider][:14]
    ][:ROWS]
    rows = [
        {
            "line": line,
            "accountId": node["id"],
            "amount": {"minorUnits": str(7_000 + line), "currency": node["currency"]},
            # Before the first transactions: Layer answers with the balance of the instant.
            "effectiveAt": FIRST_DAY if "CHOOSE_EFFECTIVE_AT" in node["capabilities"] else None,
        }
        for line, node in enumerate(chosen, 1)
    ]
    made = one.data(MAKE, rows=rows)["planOpeningBalances"]
    plan_id = made["id"]

    def show(client: GatewayClient) -> dict[str, Any]:
        plan: dict[str, Any] = client.data(SHOW, id=plan_id)["openingBalancePlan"]
        return plan

    wait_for(lambda: show(one)["state"] == "READY")
    one.control("DELETE", "requests")
    one.control("POST", "faults", {"kind": "delay", "delay_s": 0.05, "times": None})
    one.data(APPLY, id=plan_id)
    wait_for(lambda: show(one)["counts"]["applied"] >= 6)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    middle = show(other)
    let_time_pass(tmp_path / "data" / "balance-gateway.db")
    other.data(APPLY, id=plan_id)
    wait_for(lambda: show(other)["state"] == "FINISHED")
    counts = show(other)["counts"]
    requests = one.control("GET", "requests")["requests"]
    # The path of a write names its account. Layer has two requests for a write, each once.
    sent = Counter(one["path"] for one in requests if is_write(one))

    assert middle["state"] == "APPLYING"
    assert middle["counts"]["pending"] > 0
    assert counts["applied"] + counts["uncertain"] == len(rows) == ROWS
    # What was under way at each of the three connectors when the process was killed.
    assert counts["uncertain"] <= 3
    assert set(sent.values()) == {1}
    accounts = {path.rpartition("/")[0] for path in sent}
    assert counts["applied"] <= len(accounts) <= ROWS

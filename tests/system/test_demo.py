"""The demo as a process: its output, its accounts and its exit."""

import signal
import socket
from pathlib import Path

import httpx

from tests.system.processes import GatewayClient, run_command, run_demo

ACCOUNTS = """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on BankAccount {
  name currency provider normalBalance openingBalance { amount { amount } source }
  balance { asOf bank { minorUnits } ledger { minorUnits } freshness { state } } } } }"""


def test_demo_prints_one_line_and_serves_all_four_providers(
    tmp_path: Path,
) -> None:
    with run_demo(tmp_path) as (_, printed):
        gateway = GatewayClient(
            printed["graphql_url"][:-8], printed["sandbox_url"], printed["read_key"]
        )

        nodes = gateway.query(ACCOUNTS, ids=printed["account_ids"])["data"]["nodes"]

    assert set(printed) == {"graphql_url", "sandbox_url", "read_key", "admin_key", "account_ids"}
    assert {node["provider"] for node in nodes} == {"LIGHT", "ASSET", "LAYER", "LOCAL"}
    assert all(node["balance"]["ledger"] is not None for node in nodes)


def test_ctrl_c_stops_the_demo_with_exit_code_0(tmp_path: Path) -> None:
    with run_demo(tmp_path) as (started, _):
        started.send_signal(signal.SIGINT)

        _, errors = started.communicate(timeout=30)

    assert started.returncode == 0
    assert errors == ""


def test_a_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]

        done = run_command("demo", "--port", str(port), "--data-dir", str(tmp_path))

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(port) in done.stderr


def test_demo_keeps_its_keys_and_data_in_its_directory(tmp_path: Path) -> None:
    write = """mutation { upsertOpeningBalance(input: {accountId: "light-operating-eur",
      amount: {minorUnits: "4200", currency: "EUR"}}) { __typename } }"""
    read = '{ bankAccount(id: "light-operating-eur") { openingBalance { amount { minorUnits } } } }'
    with run_demo(tmp_path) as (_, first):
        GatewayClient(first["graphql_url"][:-8], "", first["admin_key"]).data(write)

    with run_demo(tmp_path) as (_, second):
        account = GatewayClient(second["graphql_url"][:-8], "", first["read_key"]).data(read)

    assert account["bankAccount"]["openingBalance"]["amount"]["minorUnits"] == "4200"


def test_secrets_of_the_demo_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with run_demo(tmp_path):
        modes = {
            path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()
        }

    assert modes
    assert set(modes.values()) == {0}


def test_dashboard_health_and_metrics_need_no_key(gateway: GatewayClient) -> None:
    responses = {
        path: httpx.get(gateway.url + path, trust_env=False)
        for path in ("/", "/healthz", "/readyz", "/metrics")
    }

    assert {path: response.status_code for path, response in responses.items()} == {
        "/": 200,
        "/healthz": 200,
        "/readyz": 200,
        "/metrics": 200,
    }
    assert "balance_gateway_upstream_calls_total" in responses["/metrics"].text

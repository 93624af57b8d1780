"""The demo as a process: its output, its accounts and its exit."""

import signal
import socket
from pathlib import Path

import httpx
import pytest

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

        places = (("--port", str(port)), ("--port", "0", "--sandbox-port", str(port)))
        outputs = [
            run_command("demo", *place, "--data-dir", str(tmp_path / "data")) for place in places
        ]
        sandbox = run_command("sandbox", "--port", str(port))

    for done, option in zip(
        [*outputs, sandbox], ("--port", "--sandbox-port", "--port"), strict=True
    ):
        assert done.returncode == 2
        assert done.stderr == (
            f"Error: Cannot listen on 127.0.0.1 port {port}: Address already in use."
            f" Set another port with {option}; 0 is a free one.\n"
        )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["q?z", "x%20y", "a#b", "é x+y", "p%3Fq&r=s"])
def test_the_data_stay_in_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    """The database of ``q?z`` was the file ``q``, and that of ``x%20y`` was in ``x y``."""
    directory = tmp_path / name
    with run_demo(directory):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (directory / "balance-gateway.db").exists()


@pytest.mark.parametrize("is_edited", [True, False])
def test_an_edited_configuration_is_kept_and_the_demo_refused(
    tmp_path: Path, is_edited: bool
) -> None:
    """The second start replaced the file, and what was added to it was lost."""
    path = tmp_path / "gateway.toml"
    if is_edited:
        with run_demo(tmp_path):
            pass
        path.write_text(path.read_text() + "\n[server]\ngraphiql = true\n")
    else:
        path.write_text("# of another gateway\n")
    before = path.read_text()

    done = run_command("demo", "--port", "0", "--sandbox-port", "0", "--data-dir", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {path} is not as the demo wrote it")
    assert path.read_text() == before


def test_an_edited_ledger_file_of_the_demo_is_kept(tmp_path: Path) -> None:
    with run_demo(tmp_path):
        pass
    path = tmp_path / "local-petty-cash.csv"
    path.write_text(path.read_text() + "mine,bank,2026-12-31,1.00,Found under the sofa\n")
    before = path.read_text()

    with run_demo(tmp_path):
        pass

    assert path.read_text() == before


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

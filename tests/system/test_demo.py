"""The demo as a process: its output, its accounts and its exit."""

import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import GatewayClient, get, run_command, run_demo

ACCOUNTS = """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on BankAccount {
  name currency provider normalBalance openingBalance { amount { amount } source }
  balance { asOf bank { minorUnits } ledger { minorUnits } freshness { state } } } } }"""
WRITE = """mutation { upsertOpeningBalance(input: {accountId: "light-operating-eur",
  amount: {minorUnits: "4200", currency: "EUR"}}) { __typename } }"""
READ = '{ bankAccount(id: "light-operating-eur") { openingBalance { amount { minorUnits } } } }'
LEDGER_FILE = "local-petty-cash.csv"


@dataclass(frozen=True)
class Runs:
    """Two runs of a demo in one directory: a write and an edited ledger file, then a restart."""

    directory: Path
    printed: dict[str, Any]
    nodes: list[dict[str, Any]]
    secret_modes: dict[str, int]
    exit_code: int
    errors: str
    edited_ledger: str
    opening_balance_after: dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A first run, ended by Ctrl+C; then its ledger file is edited and it runs again."""
    directory = tmp_path_factory.mktemp("demo")
    with run_demo(directory, is_preloaded=False) as (started, printed):
        url = printed["graphql_url"].removesuffix("/graphql")
        reader = GatewayClient(url, "", printed["read_key"])
        nodes = reader.query(ACCOUNTS, ids=printed["account_ids"])["data"]["nodes"]
        GatewayClient(url, "", printed["admin_key"]).data(WRITE)
        secret_modes = {
            path.name: path.stat().st_mode & 0o077 for path in (directory / "secrets").iterdir()
        }
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=30)
    ledger = directory / LEDGER_FILE
    ledger.write_text(ledger.read_text() + "mine,bank,2026-12-31,1.00,Found under the sofa\n")
    edited_ledger = ledger.read_text()
    with run_demo(directory) as (_, again):
        # With the key of the first run, at the address of the second.
        url = again["graphql_url"].removesuffix("/graphql")
        account = GatewayClient(url, "", printed["read_key"]).data(READ)["bankAccount"]
    return Runs(
        directory,
        printed,
        nodes,
        secret_modes,
        started.returncode,
        errors,
        edited_ledger,
        account["openingBalance"],
    )


def test_demo_prints_one_line_and_serves_all_four_providers(runs: Runs) -> None:
    assert set(runs.printed) == {
        "graphql_url",
        "sandbox_url",
        "read_key",
        "admin_key",
        "account_ids",
    }
    assert {node["provider"] for node in runs.nodes} == {"LIGHT", "ASSET", "LAYER", "LOCAL"}
    assert all(node["balance"]["ledger"] is not None for node in runs.nodes)


def test_ctrl_c_stops_the_demo_with_exit_code_0(runs: Runs) -> None:
    assert runs.exit_code == 0
    assert runs.errors == ""


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


def test_the_data_stay_in_a_directory_of_any_name(tmp_path: Path) -> None:
    """The database of ``q?z`` was the file ``q``, and that of ``x%20y`` was in ``x y``."""
    names = ["q?z", "x%20y", "a#b", "é x+y", "p%3Fq&r=s"]
    with run_demo(tmp_path.joinpath(*names)):
        pass

    directory = tmp_path
    for name in names:
        assert [path.name for path in directory.iterdir()] == [name]
        directory /= name
    assert (directory / "balance-gateway.db").exists()


def run_refused_demo(directory: Path) -> None:
    path = directory / "gateway.toml"
    before = path.read_text()

    done = run_command("demo", "--port", "0", "--sandbox-port", "0", "--data-dir", str(directory))

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {path} is not as the demo wrote it")
    assert path.read_text() == before


def test_an_edited_configuration_is_kept_and_the_demo_refused(runs: Runs) -> None:
    """The second start replaced the file, and what was added to it was lost."""
    path = runs.directory / "gateway.toml"
    written = path.read_text()
    path.write_text(f"{written}\n[server]\ngraphiql = true\n")
    try:
        run_refused_demo(runs.directory)
    finally:
        path.write_text(written)


def test_a_configuration_of_another_gateway_is_kept_and_the_demo_refused(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("# of another gateway\n")

    run_refused_demo(tmp_path)


def test_an_edited_ledger_file_of_the_demo_is_kept(runs: Runs) -> None:
    assert (runs.directory / LEDGER_FILE).read_text() == runs.edited_ledger


def test_demo_keeps_its_keys_and_data_in_its_directory(runs: Runs) -> None:
    assert runs.opening_balance_after == {"amount": {"minorUnits": "4200"}}


def test_secrets_of_the_demo_are_readable_by_their_owner_only(runs: Runs) -> None:
    assert runs.secret_modes
    assert set(runs.secret_modes.values()) == {0}


def test_dashboard_health_and_metrics_need_no_key(gateway: GatewayClient) -> None:
    responses = {path: get(gateway.url + path) for path in ("/", "/healthz", "/readyz", "/metrics")}

    assert {path: response.status_code for path, response in responses.items()} == {
        "/": 200,
        "/healthz": 200,
        "/readyz": 200,
        "/metrics": 200,
    }
    assert "balance_gateway_upstream_calls_total" in responses["/metrics"].text

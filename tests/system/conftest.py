"""Fixtures: a shared running demo, and a configuration with the embedded ledger."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.processes import GatewayClient, run_demo

LOCAL = """
[storage]
url = "sqlite:///{directory}/gateway.db"

[[auth.api_keys]]
name = "tester"
key = "env:TESTER_KEY"
tenant = "acme"
scopes = ["balances:read", "balances:write"]

[connectors.books]
provider = "local"

[[accounts]]
id = "till"
tenant = "acme"
connector = "books"
name = "Till"
currency = "EUR"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one embedded ledger account and the API key of TESTER_KEY."""
    path = tmp_path / "gateway.toml"
    path.write_text(LOCAL.format(directory=tmp_path))
    return path


@pytest.fixture(scope="session")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayClient]:
    data_dir: Path = tmp_path_factory.mktemp("demo")
    with run_demo(data_dir) as (_, printed):
        yield GatewayClient(
            printed["graphql_url"].removesuffix("/graphql"),
            printed["sandbox_url"],
            printed["admin_key"],
        )


@pytest.fixture
def gateway(running_demo: GatewayClient) -> GatewayClient:
    """The demo without the faults and the request log of earlier tests."""
    running_demo.control("DELETE", "faults")
    while any(
        connector["health"]["state"] == "DOWN"
        for connector in running_demo.data("{ connectors { health { state } } }")["connectors"]
    ):
        # An earlier test opened a breaker; the first read after its pause closes it.
        time.sleep(0.2)
        running_demo.query("{ balanceTotals { currency } }")
    running_demo.control("DELETE", "requests")
    return running_demo

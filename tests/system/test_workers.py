"""Several workers on one socket: they share it, are replaced, drain, and all stop."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from balance_gateway import __version__
from tests.servers import free_port, redis_server
from tests.system.processes import (
    GatewayClient,
    Process,
    get,
    run_command,
    run_process,
    wait_until_ready,
)

KEY = "the-key-of-the-system-tester"
BALANCE = '{ bankAccount(id: "till") { balance(asOf: "2026-01-02") { ledger { amount } } } }'


@contextmanager
def run_workers(config: Path) -> Iterator[tuple[Process, GatewayClient]]:
    """Run two workers; yield their supervisor and a client of the gateway."""
    port = free_port()
    arguments = ("serve", "--config", str(config), "--port", str(port), "--workers", "2")
    with run_process(*arguments, "--root-path", "/balances", TESTER_KEY=KEY) as supervisor:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", KEY)
        wait_until_ready(gateway.url, supervisor, timeout_s=40)
        yield supervisor, gateway


@pytest.fixture
def uncached(config: Path) -> Path:
    """A configuration without a cache, with which workers need no shared cache."""
    config.write_text(f"[cache]\nenabled = false\n{config.read_text()}")
    return config


def list_worker_pids(supervisor: Process) -> set[int]:
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def is_serving(gateway: GatewayClient) -> bool:
    try:
        return "errors" not in gateway.query(BALANCE)
    except httpx.TransportError:
        return False


def test_workers_serve_on_one_port_and_drain_on_sigterm(config: Path, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        address = f"127.0.0.1:{free_port()}"
        server = f'[server]\nmetrics_address = "{address}"\n[cache]\nurl = "{redis.url}"\n'
        config.write_text(server + config.read_text())
        with run_workers(config) as (supervisor, gateway):
            balances = [gateway.data(BALANCE) for _ in range(8)]
            below = get(f"{gateway.url}/balances/healthz").status_code
            urls = [
                f"{gateway.url}/metrics",
                f"http://{address}/metrics",
                f"http://{address}/graphql",
            ]
            metrics = [get(url) for url in urls]

            supervisor.send_signal(signal.SIGTERM)
            readiness = get(f"{gateway.url}/readyz")
            while readiness.status_code == 200:
                readiness = get(f"{gateway.url}/readyz")
            supervisor.communicate(timeout=30)

    assert (len(balances), below) == (8, 200)
    assert [response.status_code for response in metrics] == [404, 200, 404]
    assert 'balance_gateway_requests_total{status="200"} 8.0' in metrics[1].text
    assert metrics[1].headers["x-content-type-options"] == "nosniff"
    assert readiness.json()["status"] == "draining"
    assert supervisor.returncode == 0


def scrape(gateway: GatewayClient) -> dict[str, float]:
    """Return the samples of one scrape, by name and labels."""
    lines = get(f"{gateway.url}/metrics").text.splitlines()
    split = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.removeprefix("balance_gateway_"): float(value) for name, value in split}


def test_a_dead_worker_is_replaced_and_no_total_is_lost(uncached: Path) -> None:
    with run_workers(uncached) as (supervisor, gateway):
        wait_until(lambda: len(list_worker_pids(supervisor)) == 2)
        before = list_worker_pids(supervisor)
        for _ in range(12):
            gateway.data(BALANCE)
        assert gateway.post(BALANCE, key="wrong").status_code == 401
        counted = [scrape(gateway) for _ in range(6)]
        for pid in before:
            subprocess.run(["kill", "-9", str(pid)], check=True)

        wait_until(lambda: len(list_worker_pids(supervisor) - before) == 2)
        wait_until(lambda: is_serving(gateway))
        after = scrape(gateway)

        supervisor.send_signal(signal.SIGINT)
        _, logged = supervisor.communicate(timeout=30)

    assert supervisor.returncode == 0
    assert logged.count("worker.died") == 2
    # One scrape may find a busy Redis too slow.
    assert 1 in {each["cache_up"] for each in counted}
    # Whichever worker answered the scrape.
    for each in counted:
        assert each['requests_total{status="200"}'] == 12
        assert each['requests_total{status="401"}'] == 1
        assert each["request_seconds_count"] == 13
        assert each['failed_credentials_total{outcome="refused"}'] == 1
        assert each['reads_total{kind="balance",state="live"}'] == 12
        assert each[f'build_info{{version="{__version__}"}}'] == 1
    assert after['requests_total{status="200"}'] >= 13
    assert after['requests_total{status="401"}'] == 1
    assert after['reads_total{kind="balance",state="live"}'] >= 13


def test_workers_stop_when_their_supervisor_is_killed(uncached: Path) -> None:
    with run_workers(uncached) as (supervisor, gateway):
        supervisor.kill()
        supervisor.wait()

        def is_free() -> bool:
            port = int(gateway.url.rsplit(":", 1)[1])
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        wait_until(is_free)


def test_workers_that_cannot_start_are_not_restarted(uncached: Path) -> None:
    uncached.write_text(uncached.read_text().replace("/gateway.db", "/no/such/place/gateway.db"))

    done = run_command(
        *("serve", "--config", str(uncached), "--port", "0", "--workers", "2"), TESTER_KEY=KEY
    )

    assert done.returncode == 1
    assert "no/such/place" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_without_a_shared_cache_are_rejected(config: Path) -> None:
    done = run_command("serve", "--config", str(config), "--workers", "2", TESTER_KEY=KEY)

    assert done.returncode == 2
    assert "cache.url" in done.stderr

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

from tests.servers import free_port, redis_server
from tests.system.processes import GatewayClient, run_command, run_process, wait_until_ready

KEY = "the-key-of-the-system-tester"
BALANCE = '{ bankAccount(id: "till") { balance(asOf: "2026-01-02") { ledger { amount } } } }'


@contextmanager
def run_workers(config: Path) -> Iterator[tuple[subprocess.Popen[str], GatewayClient]]:
    """Run two workers; yield their supervisor and a client of the gateway."""
    port = free_port()
    arguments = ("serve", "--config", str(config), "--port", str(port), "--workers", "2")
    with run_process(*arguments, TESTER_KEY=KEY) as supervisor:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", KEY)
        wait_until_ready(gateway.url, supervisor, timeout_s=40)
        yield supervisor, gateway


@pytest.fixture
def uncached(config: Path) -> Path:
    """A configuration without a cache, with which workers need no shared cache."""
    config.write_text(f"[cache]\nenabled = false\n{config.read_text()}")
    return config


def list_worker_pids(supervisor: subprocess.Popen[str]) -> set[int]:
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
        config.write_text(f'[cache]\nurl = "{redis.url}"\n{config.read_text()}')
        with run_workers(config) as (supervisor, gateway):
            balances = [gateway.data(BALANCE) for _ in range(8)]

            supervisor.send_signal(signal.SIGTERM)
            readiness = httpx.get(f"{gateway.url}/readyz", trust_env=False)
            while readiness.status_code == 200:
                readiness = httpx.get(f"{gateway.url}/readyz", trust_env=False)
            supervisor.communicate(timeout=30)

    assert len(balances) == 8
    assert readiness.json()["status"] == "draining"
    assert supervisor.returncode == 0


def test_a_dead_worker_is_replaced(uncached: Path) -> None:
    with run_workers(uncached) as (supervisor, gateway):
        wait_until(lambda: len(list_worker_pids(supervisor)) == 2)
        before = list_worker_pids(supervisor)
        for pid in before:
            subprocess.run(["kill", "-9", str(pid)], check=True)

        wait_until(lambda: len(list_worker_pids(supervisor) - before) == 2)
        wait_until(lambda: is_serving(gateway))

        supervisor.send_signal(signal.SIGINT)
        _, logged = supervisor.communicate(timeout=30)

    assert supervisor.returncode == 0
    assert logged.count("worker.died") == 2


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

"""Several workers on one socket: they share it, are replaced, drain, and leave nobody behind."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import redis_server
from tests.system.processes import Gateway, free_port, process, run, wait_until_ready

KEY = "the-key-of-the-tester"
BALANCE = '{ bankAccount(id: "till") { balance(asOf: "2026-01-02") { ledger { amount } } } }'


@contextmanager
def workers(config: Path) -> Iterator[tuple[subprocess.Popen[str], Gateway]]:
    """Two workers, the process that started them and the gateway that they are."""
    port = free_port()
    arguments = ("serve", "--config", str(config), "--port", str(port), "--workers", "2")
    with process(*arguments, TESTER_KEY=KEY) as supervisor:
        gateway = Gateway(f"http://127.0.0.1:{port}", "", KEY)
        wait_until_ready(gateway.url, supervisor, seconds=40)
        yield supervisor, gateway


@pytest.fixture
def uncached(config: Path) -> Path:
    """Without a cache there is none to be shared."""
    config.write_text(f"[cache]\nenabled = false\n{config.read_text()}")
    return config


def pids_of(supervisor: subprocess.Popen[str]) -> set[int]:
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def answers(gateway: Gateway) -> bool:
    try:
        return "errors" not in gateway.ask(BALANCE)
    except httpx.TransportError:
        return False


def test_several_workers_answer_on_one_port_and_drain_on_sigterm(
    config: Path, tmp_path: Path
) -> None:
    with redis_server(tmp_path) as redis:
        config.write_text(f'[cache]\nurl = "{redis.url}"\n{config.read_text()}')
        with workers(config) as (supervisor, gateway):
            balances = [gateway.data(BALANCE) for _ in range(8)]

            supervisor.send_signal(signal.SIGTERM)
            told = httpx.get(f"{gateway.url}/readyz", trust_env=False)
            while told.status_code == 200:
                told = httpx.get(f"{gateway.url}/readyz", trust_env=False)
            supervisor.communicate(timeout=30)

    assert len(balances) == 8
    assert told.json()["status"] == "draining"
    assert supervisor.returncode == 0


def test_a_worker_that_dies_is_replaced(uncached: Path) -> None:
    with workers(uncached) as (supervisor, gateway):
        eventually(lambda: len(pids_of(supervisor)) == 2)
        before = pids_of(supervisor)
        for pid in before:
            subprocess.run(["kill", "-9", str(pid)], check=True)

        eventually(lambda: len(pids_of(supervisor) - before) == 2)
        eventually(lambda: answers(gateway))

        supervisor.send_signal(signal.SIGINT)
        _, logged = supervisor.communicate(timeout=30)

    assert supervisor.returncode == 0
    assert logged.count("worker.died") == 2


def test_workers_end_with_the_process_that_started_them(uncached: Path) -> None:
    with workers(uncached) as (supervisor, gateway):
        supervisor.kill()
        supervisor.wait()

        def is_free() -> bool:
            port = int(gateway.url.rsplit(":", 1)[1])
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        eventually(is_free)


def test_workers_that_cannot_start_are_not_started_again(uncached: Path) -> None:
    uncached.write_text(uncached.read_text().replace("/gateway.db", "/no/such/place/gateway.db"))

    done = run(
        *("serve", "--config", str(uncached), "--port", "0", "--workers", "2"), TESTER_KEY=KEY
    )

    assert done.returncode == 1
    assert "no/such/place" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_without_a_shared_cache_are_refused(config: Path) -> None:
    done = run("serve", "--config", str(config), "--workers", "2", TESTER_KEY=KEY)

    assert done.returncode == 2
    assert "cache.url" in done.stderr

"""SIGHUP and the command ``reload`` change what real processes serve; no request fails."""

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from balance_gateway.app.configuration import read_settings
from balance_gateway.config.errors import ConfigError
from tests.servers import free_port
from tests.system.processes import GatewayClient, get, run_command, run_process, wait_until_ready
from tests.system.test_workers import KEY, list_worker_pids, run_workers, wait_until

NAME = '{ bankAccount(id: "till") { name } }'


@pytest.fixture
def uncached(config: Path) -> Path:
    """A configuration without a cache, with which workers need no shared cache."""
    config.write_text(f"[cache]\nenabled = false\n{config.read_text()}")
    return config


class Caller:
    """Sends requests without a pause, and counts those that fail."""

    def __init__(self, gateway: GatewayClient) -> None:
        self._gateway = gateway
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered = 0
        self.failed: list[object] = []

    def __enter__(self) -> "Caller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                answer = self._gateway.query(NAME)
            except httpx.HTTPError as error:
                self.failed.append(error)
                continue
            if "errors" in answer:
                self.failed.append(answer)
            self.answered += 1
            # The machine must have time for the workers.
            time.sleep(0.02)


def read_versions(gateway: GatewayClient) -> set[str]:
    """Return the versions that 10 connections see, which reach both workers."""
    url = f"{gateway.url}/readyz"
    return {get(url).json()["configuration"] for _ in range(10)}


def have_both_reloaded(gateway: GatewayClient, outcome: str) -> bool:
    """Return whether both workers have ended one reload with this outcome.

    Connections do not show it: a worker that is busy with its reload accepts none of them.
    """
    line = f'balance_gateway_config_reloads_total{{outcome="{outcome}"}} 2.0'
    return line in get(f"{gateway.url}/metrics").text


def test_both_workers_reload_and_no_request_fails(uncached: Path) -> None:
    with run_workers(uncached) as (supervisor, gateway):
        first = read_versions(gateway)
        with Caller(gateway) as caller:
            uncached.write_text(uncached.read_text().replace('"Till"', '"Other till"'))
            done = run_command("reload", "--config", str(uncached), is_preloaded=False)
            version = done.stdout.strip().rpartition(" ")[2]
            wait_until(lambda: have_both_reloaded(gateway, "applied"))
            name = gateway.data(NAME)["bankAccount"]["name"]
            uncached.write_text("[nonsense]")
            supervisor.send_signal(signal.SIGHUP)
            wait_until(lambda: have_both_reloaded(gateway, "refused"))
            after_wrong = read_versions(gateway)
            failed_before_kill = list(caller.failed)
            # The replacement of a worker cannot start with the wrong file; the other one serves on.
            before = list_worker_pids(supervisor)
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda: bool(list_worker_pids(supervisor) - before))
            wait_until(lambda: list_worker_pids(supervisor) == {max(before)})
            time.sleep(0.2)
            still_running = supervisor.poll() is None
        supervisor.send_signal(signal.SIGTERM)
        _, logged = supervisor.communicate(timeout=30)
    stopped = run_command("reload", "--config", str(uncached))

    assert (done.returncode, len(first), name) == (0, 1, "Other till")
    assert still_running
    assert after_wrong == {version} != first
    assert supervisor.returncode == 0
    assert failed_before_kill == []
    assert caller.answered > 10
    assert logged.count("config.reloaded") == logged.count("config.refused") == 2
    with pytest.raises(ConfigError) as at_the_start:
        read_settings(uncached)
    assert str(at_the_start.value) in logged
    assert stopped.returncode == 1
    assert str(uncached) in stopped.stderr


def test_a_gateway_with_one_worker_reloads_and_survives_every_hangup(config: Path) -> None:
    port, pid_file = free_port(), config.parent / "run" / "gateway.pid"
    pid_file.parent.mkdir()
    options = ("--config", str(config), "--pid-file", str(pid_file))
    with run_process("serve", *options, "--port", str(port), TESTER_KEY=KEY) as started:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", KEY)
        # A signal may come while the gateway starts: its handler exists with the lock of the file.
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
        started.send_signal(signal.SIGHUP)
        wait_until_ready(gateway.url, started)
        second = run_command("serve", *options, "--port", "0", TESTER_KEY=KEY)
        config.write_text(config.read_text().replace('"Till"', '"Other till"'))
        done = run_command("reload", *options)
        version = done.stdout.strip().rpartition(" ")[2]
        wait_until(lambda: read_versions(gateway) == {version})
        name = gateway.data(NAME)["bankAccount"]["name"]
        started.send_signal(signal.SIGTERM)
        started.send_signal(signal.SIGHUP)
        _, logged = started.communicate(timeout=30)

    assert (name, started.returncode) == ("Other till", 0)
    assert logged.count("config.reloaded") >= 2
    assert second.returncode == 2
    assert str(pid_file) in second.stderr

"""Run the commands as processes, as users do, and call the gateway over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.http_clients import WITHOUT_TLS
from tests.preloaded_processes import PreloadedProcess

COMMAND = [sys.executable, "-m", "balance_gateway"]

Process = PreloadedProcess | subprocess.Popen[str]


def get(url: str) -> httpx.Response:
    """Send a request on a connection of its own."""
    return httpx.get(url, trust_env=False, timeout=5, verify=WITHOUT_TLS)


def run_command(
    *arguments: str, is_preloaded: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which takes at most 60 s."""
    started = _start(arguments, environment, is_preloaded=is_preloaded)
    try:
        stdout, stderr = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode is not None
    return subprocess.CompletedProcess(started.args, started.returncode, stdout, stderr)


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], *, is_preloaded: bool
) -> Process:
    if is_preloaded:
        return PreloadedProcess(arguments, environment={**os.environ, **environment})
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@dataclass
class GatewayClient:
    """A client of a gateway and of the sandbox behind it."""

    url: str
    sandbox_url: str
    key: str

    def post(self, query: str, key: str | None = None, **variables: Any) -> httpx.Response:
        return httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {key or self.key}"},
            timeout=30,
            trust_env=False,
            verify=WITHOUT_TLS,
        )

    def query(self, query: str, key: str | None = None, **variables: Any) -> dict[str, Any]:
        response: dict[str, Any] = self.post(query, key, **variables).json()
        return response

    def data(self, query: str, **variables: Any) -> dict[str, Any]:
        response = self.query(query, **variables)
        assert "errors" not in response, response["errors"]
        data: dict[str, Any] = response["data"]
        return data

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = httpx.request(
            method,
            f"{self.sandbox_url}/_control/{path}",
            json=body,
            trust_env=False,
            timeout=30,
            verify=WITHOUT_TLS,
        )
        assert response.is_success, response.text
        return response.json() if response.content else None

    def count_calls(self) -> dict[str, int]:
        """Return the number of calls per provider, token requests excluded."""
        counts: dict[str, int] = {}
        for request in self.control("GET", "requests")["requests"]:
            if "/auth/token" in request["path"] or "/oauth2/token" in request["path"]:
                continue
            counts[request["provider"]] = counts.get(request["provider"], 0) + 1
        return counts


@contextmanager
def run_process(
    *arguments: str, is_preloaded: bool = True, **environment: str
) -> Iterator[Process]:
    """Run a command; at the end interrupt it, or kill it after 20 s."""
    started = _start(arguments, environment, is_preloaded=is_preloaded)
    try:
        yield started
    finally:
        if started.poll() is None:
            # After SIGTERM a gateway serves for some seconds more, as load balancers need it.
            started.send_signal(signal.SIGINT)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
        started.communicate()


@contextmanager
def run_demo(
    data_dir: Path, *, is_preloaded: bool = True
) -> Iterator[tuple[Process, dict[str, Any]]]:
    """Run a demo; yield its process and the JSON that it printed."""
    arguments = ("demo", "--json", "--port", "0", "--sandbox-port", "0")
    with run_process(*arguments, "--data-dir", str(data_dir), is_preloaded=is_preloaded) as started:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, started.communicate()[1]
        yield started, json.loads(line)


def wait_until_ready(
    url: str, started: Process, timeout_s: float = 20, path: str = "readyz"
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert started.poll() is None, started.communicate()[1]
        try:
            if get(f"{url}/{path}").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not become ready")

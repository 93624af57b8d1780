"""Run the commands as processes, as users do, and call the gateway over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

COMMAND = [sys.executable, "-m", "balance_gateway"]


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
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
            method, f"{self.sandbox_url}/_control/{path}", json=body, trust_env=False, timeout=30
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
def run_process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command; at the end terminate it, or kill it after 20 s."""
    started = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
        started.communicate()


@contextmanager
def run_demo(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a demo; yield its process and the JSON that it printed."""
    ports = ("--port", "0", "--sandbox-port", "0")
    with run_process("demo", "--json", *ports, "--data-dir", str(data_dir)) as started:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, started.communicate()[1]
        yield started, json.loads(line)


def wait_until_ready(url: str, started: subprocess.Popen[str], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert started.poll() is None, started.communicate()[1]
        try:
            if httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not become ready")

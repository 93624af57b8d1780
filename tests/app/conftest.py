"""Fixtures: a sandbox on loopback, the demo's configuration for it, and a Redis server."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from balance_gateway.app.configuration import read_settings
from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.config.settings import Settings
from balance_gateway_sandbox import build_catalogue, create_sandbox
from tests.app.gateway_harness import SandboxClient
from tests.servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_sandbox(), lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        yield SandboxClient(url, client)
    # Delayed responses of the last test may still be pending.
    server.should_exit = server.force_exit = True
    thread.join(timeout=5)
    listener.close()


@pytest.fixture
def sandbox(sandbox_server: SandboxClient) -> SandboxClient:
    """The sandbox in its initial state."""
    sandbox_server.control("POST", "reset")
    return sandbox_server


@pytest.fixture
def demo_settings(tmp_path: Path, sandbox: SandboxClient) -> Settings:
    """The demo's settings, with a cache in memory."""
    files = write_demo_files(tmp_path, build_catalogue(1), sandbox.url)
    return read_settings(files.config_path)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server

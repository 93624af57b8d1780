"""The sandbox on loopback, the demo's configuration for it, and a Redis of one's own."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.config.reader import read_settings
from balance_gateway.config.settings import Settings
from balance_gateway_sandbox import build_catalogue, create_sandbox
from tests.app.gateway_harness import Sandbox
from tests.servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[Sandbox]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_sandbox(), lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        yield Sandbox(url, client)
    # Slow faults of the last test may still be under way.
    server.should_exit = server.force_exit = True
    thread.join(timeout=5)
    listener.close()


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    """The sandbox as it was at first."""
    sandbox_server.control("POST", "reset")
    return sandbox_server


@pytest.fixture
def demo_settings(tmp_path: Path, sandbox: Sandbox) -> Settings:
    """The demo's settings, with the cache in memory."""
    files = write_demo_files(tmp_path, build_catalogue(1), sandbox.url)
    return read_settings(files.config_path)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server

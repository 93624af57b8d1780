"""The link to Redis: a time limit on everything, and a rest after a failure."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.redis_client import REST_S, RedisClient, Server
from tests.pipeline.virtual_time import VirtualTime


class Commands:
    """Counts how often it is run, and fails when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: BaseException | None = None

    async def __call__(self) -> int:
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        return self.runs


@pytest.fixture
def link(tmp_path: Path) -> RedisClient:
    return RedisClient.open(f"unix://{tmp_path}/nobody.sock")


@pytest.mark.parametrize(
    "failure", [ResponseError("READONLY"), RedisError(), OSError(), TimeoutError()]
)
async def test_whatever_redis_fails_with_is_the_cache_out_of_reach(
    link: RedisClient, failure: BaseException
) -> None:
    command = Commands()
    command.failure = failure

    with pytest.raises(CacheUnavailable):
        await link.run(command)

    assert not link.is_up


async def test_after_a_failure_reads_do_without_and_writes_ask_redis_itself(
    link: RedisClient,
) -> None:
    command = Commands()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    command.failure = None

    with pytest.raises(CacheUnavailable):
        await link.run(command)
    runs_while_resting = command.runs
    answer = await link.run(command, always=True)

    assert runs_while_resting == 1
    assert answer == 2
    assert link.is_up


async def test_after_a_success_reads_ask_again(link: RedisClient) -> None:
    command = Commands()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    command.failure = None
    await link.run(command, always=True)

    answer = await link.run(command)

    assert answer == 3


async def test_the_rest_after_a_failure_ends(link: RedisClient) -> None:
    now_s = 100.0
    link = RedisClient(link.client, monotonic=lambda: now_s)
    command = Commands()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    command.failure = None
    now_s += REST_S

    answer = await link.run(command)

    assert answer == 2


async def test_it_is_up_once_and_as_long_as_calls_are_answered(link: RedisClient) -> None:
    """It was once up again a second after each failure, whether or not anybody had answered."""
    now_s = 100.0
    link = RedisClient(link.client, monotonic=lambda: now_s)
    command = Commands()
    told = [link.is_up]

    await link.run(command)
    told.append(link.is_up)
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    told.append(link.is_up)
    now_s += 2 * REST_S
    told.append(link.is_up)
    command.failure = None
    await link.run(command)
    told.append(link.is_up)

    assert told == [False, True, False, False, True]


async def test_a_redis_that_refuses_writes_is_not_up_because_reads_are_answered(
    link: RedisClient,
) -> None:
    command = Commands()
    command.failure = ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
    with pytest.raises(CacheUnavailable):
        await link.run(command, writes=True)
    command.failure = None

    await link.run(command, always=True)
    after_a_read = link.is_up
    await link.run(command, writes=True)

    assert not after_a_read
    assert link.is_up


async def test_a_redis_that_hangs_is_given_half_a_second(time: VirtualTime) -> None:
    link = RedisClient.open("unix:///nobody.sock")
    started_s = time.monotonic()

    with pytest.raises(CacheUnavailable):
        await link.run(asyncio.Event().wait)

    assert time.monotonic() - started_s == pytest.approx(0.5)


async def test_a_connection_tells_which_server_answers(redis_url: str) -> None:
    link = RedisClient.open(redis_url)
    before = link.server.run_id

    told = await link.run(lambda: link.client.info("server"))
    await link.aclose()

    assert before == ""
    assert link.server.run_id == told["run_id"]


class Greeted:
    """A connection that answers INFO with what a test says."""

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
    ids=["redis", "valkey", "neither", "refused"],
)
async def test_the_server_is_known_as_far_as_it_may_be_asked(
    answer: str | bytes | Exception, run_id: str
) -> None:
    server, connection = Server(), Greeted(answer)

    await server.identify_server(connection)

    assert connection.sent == [("hello",), ("INFO", "server")]
    assert server.run_id == run_id


async def test_of_two_connections_the_newer_one_tells_which_server_answers() -> None:
    server, may_answer = Server(), asyncio.Event()
    older = asyncio.ensure_future(server.identify_server(Greeted("run_id:old", may_answer)))
    await asyncio.sleep(0)
    await server.identify_server(Greeted("run_id:new"))

    may_answer.set()
    await older

    assert server.run_id == "new"


async def test_a_command_that_failed_is_not_sent_again(link: RedisClient) -> None:
    retry = link.client.get_connection_kwargs()["retry"]

    assert retry.get_retries() == 0


async def test_a_defect_of_ours_is_not_taken_for_an_outage(link: RedisClient) -> None:
    command = Commands()
    await link.run(command)
    command.failure = KeyError("ours")

    with pytest.raises(KeyError):
        await link.run(command)

    assert link.is_up


def test_the_link_shows_no_address_or_password() -> None:
    link = RedisClient.open("redis://:hunter2@127.0.0.1:1/0")

    shown = repr(link)

    assert "hunter2" not in shown
    assert link.key("epoch") == "balance-gateway:epoch"

"""The connection that reads the log, between a real Redis and a network that misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ResponseError

from balance_gateway.pipeline.cache.change_log import ENTRIES_MAX, LogEntry
from balance_gateway.pipeline.cache.redis_log_link import (
    IncompleteReply,
    RedisLogLink,
    encode_array,
    parse_reply,
)
from balance_gateway.pipeline.redis_client import RedisClient
from tests.pipeline.redis_proxy import Change, Proxy


@pytest.fixture
async def proxy(redis_url: str) -> Proxy:
    if not redis_url.startswith("unix://"):
        pytest.skip("the proxy needs the tests' own Redis")
    return Proxy(redis_url.removeprefix("unix://"))


@contextlib.asynccontextmanager
async def open_link(url: str) -> AsyncIterator[tuple[RedisLogLink, RedisClient]]:
    redis = RedisClient.open(url)
    link = RedisLogLink(redis, redis.key("log"))
    try:
        yield link, redis
    finally:
        await link.aclose()
        await redis.aclose()


async def read_newest(link: RedisLogLink) -> Any:
    future = asyncio.get_running_loop().create_future()
    link.read_newest(future.set_result)
    return await asyncio.wait_for(future, 5)


async def read_from(link: RedisLogLink, position: LogEntry) -> Any:
    future = asyncio.get_running_loop().create_future()
    link.read_from(position, future.set_result)
    return await asyncio.wait_for(future, 5)


async def add_entries(redis_url: str, count: int) -> None:
    redis = RedisClient.open(redis_url)
    for number in range(count):
        await redis.client.xadd(redis.key("log"), {"t": f"token {number}", "f": "fence"})
    await redis.aclose()


async def test_an_empty_log_gets_an_entry_that_names_everything(redis_url: str) -> None:
    async with open_link(redis_url) as (link, redis):
        [first] = await read_newest(link)
        again = await read_newest(link)
        length = await redis.client.xlen(redis.key("log"))

    assert (first.fields[0], first.fields[2:]) == (b"t", (b"a", b"*"))
    assert (again, length) == ([first], 1)


async def test_entries_are_read_from_the_position_on(redis_url: str) -> None:
    async with open_link(redis_url) as (link, _):
        [first] = await read_newest(link)
        unchanged = [await read_from(link, first) for _ in range(2)]
        await add_entries(redis_url, 2)
        changed = await read_from(link, first)
        later = await read_from(link, changed[-1])

    assert [list(each) for each in unchanged] == [[first], [first]]
    assert [each.fields[1] for each in changed[1:]] == [b"token 0", b"token 1"]
    assert (changed[0], list(later)) == (first, changed[-1:])


async def test_the_server_is_identified_before_the_first_read(redis_url: str) -> None:
    async with open_link(redis_url) as (link, redis):
        await read_newest(link)
        run_id = (await redis.client.info("server"))["run_id"]

        assert redis.server.run_id == run_id
        assert link._run_id == run_id


async def test_a_reply_in_pieces_is_joined(proxy: Proxy, redis_url: str) -> None:
    async with proxy.running() as url, open_link(url) as (link, _):
        [first] = await read_newest(link)
        await add_entries(redis_url, 2)
        proxy.change = lambda data: [data[at : at + 30] for at in range(0, len(data), 30)]
        changed = await read_from(link, first)
        proxy.change = lambda data: [data[:9], data[9:]]
        unchanged = await read_from(link, changed[-1])

    assert [each.fields[1] for each in changed[1:]] == [b"token 0", b"token 1"]
    assert list(unchanged) == changed[-1:]


@pytest.mark.parametrize(
    "change",
    [lambda data: [data + data], lambda _: [b"HTTP/1.1 400\r\n"], lambda _: [b"$x\r\n"]],
    ids=["two replies", "another protocol", "no number"],
)
async def test_a_reply_that_nobody_asked_for_ends_the_connection(
    proxy: Proxy, redis_url: str, change: Change
) -> None:
    """Replies are told apart by their order alone."""
    async with proxy.running() as url, open_link(url) as (link, redis):
        [first] = await read_newest(link)
        await add_entries(redis_url, 1)
        before = link.connection
        proxy.change = change
        answer = await read_from(link, first)

        assert answer is None
        assert redis.is_resting
        assert link.connection != before


async def test_a_read_without_a_reply_ends_after_half_a_second(proxy: Proxy) -> None:
    async with proxy.running() as url, open_link(url) as (link, redis):
        [first] = await read_newest(link)
        before = link.connection
        proxy.change = lambda _: []
        answer = await read_from(link, first)
        is_resting, rested = redis.is_resting, await read_newest(link)
        proxy.change = lambda data: [data]
        redis.note_success()

        assert (answer, is_resting, rested) == (None, True, None)
        assert await read_newest(link) == [first]
        assert link.connection not in (before, before + 1)


async def test_an_idle_connection_that_was_closed_is_made_again(proxy: Proxy) -> None:
    async with proxy.running() as url, open_link(url) as (link, redis):
        [first] = await read_newest(link)
        before = link.connection
        proxy.cut()
        for _ in range(1000):
            if link.connection != before:
                break
            await asyncio.sleep(0.001)

        assert not redis.is_resting
        assert await read_from(link, first) is None
        assert await read_newest(link) == [first]
        assert proxy.connections == 2


async def test_a_newer_connection_to_another_server_ends_this_one(redis_url: str) -> None:
    async with open_link(redis_url) as (link, redis):
        [first] = await read_newest(link)
        before = link.connection
        redis.server.run_id = "another"

        assert link.connection != before
        assert await read_from(link, first) is None


@pytest.mark.parametrize(
    "url", ["unix:///no/such/socket", "redis://127.0.0.1:1/0"], ids=["socket", "port"]
)
async def test_a_redis_out_of_reach_is_reported(url: str) -> None:
    async with open_link(url) as (link, redis):
        assert await read_newest(link) is None
        assert redis.reason.startswith("Redis cannot be reached: ")


async def test_a_user_that_may_not_read_the_log_is_reported(redis_url: str) -> None:
    admin = RedisClient.open(redis_url)
    rules = ("on", ">secret", "~*", "+@all", "-xrange")
    await admin.client.execute_command("ACL", "SETUSER", "limited", "reset", *rules)
    url = f"{redis_url}?username=limited&password=secret"
    async with open_link(url) as (link, redis):
        [first] = await read_newest(link)
        answer = await read_from(link, first)
        reason, is_up = redis.reason, redis.is_up
    await admin.client.execute_command("ACL", "DELUSER", "limited")
    await admin.aclose()

    assert answer is None
    assert not is_up
    assert reason == "the Redis user of cache.url may not run a command that the gateway needs"


async def test_closing_ends_a_read_that_is_under_way(proxy: Proxy) -> None:
    async with proxy.running() as url, open_link(url) as (link, _):
        [first] = await read_newest(link)
        proxy.change = lambda _: []
        future = asyncio.get_running_loop().create_future()
        link.read_from(first, future.set_result)

        await link.aclose()

        assert future.result() is None


def test_every_part_of_a_reply_is_incomplete() -> None:
    reply = b"*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nt\r\n$0\r\n\r\n*0\r\n"

    assert parse_reply(reply, 0) == ([[b"1-0", [b"t", b""]], []], len(reply))
    for end in range(len(reply)):
        with pytest.raises(IncompleteReply):
            parse_reply(reply[:end], 0)


def test_an_error_is_returned_and_anything_else_refused() -> None:
    error, end = parse_reply(b"-NOPERM no\r\n", 0)

    assert isinstance(error, ResponseError)
    assert (str(error), end) == ("NOPERM no", 12)
    with pytest.raises(ValueError, match="protocol"):
        parse_reply(b"+OK\r\n", 0)


def test_commands_are_encoded_as_lists_of_texts() -> None:
    count = str(ENTRIES_MAX).encode()

    assert encode_array([b"XRANGE", count]) == b"*2\r\n$6\r\nXRANGE\r\n$4\r\n1000\r\n"

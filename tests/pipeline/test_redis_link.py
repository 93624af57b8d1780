"""The link to Redis: a time limit on everything, and a rest after a failure."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline import redis_link
from balance_gateway.pipeline.redis_link import RedisLink
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
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RedisLink:
    return RedisLink.open(f"unix://{tmp_path}/nobody.sock")


@pytest.mark.parametrize(
    "failure", [ResponseError("READONLY"), RedisError(), OSError(), TimeoutError()]
)
async def test_whatever_redis_fails_with_is_the_cache_out_of_reach(
    link: RedisLink, failure: BaseException
) -> None:
    command = Commands()
    command.failure = failure

    with pytest.raises(CacheUnavailable):
        await link.run(command)

    assert not link.is_up


async def test_after_a_failure_reads_do_without_and_writes_ask_redis_itself(
    link: RedisLink,
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


async def test_after_a_success_reads_ask_again(link: RedisLink) -> None:
    command = Commands()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    command.failure = None
    await link.run(command, always=True)

    answer = await link.run(command)

    assert answer == 3


async def test_the_rest_after_a_failure_ends(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "REST_S", 0.0)
    command = Commands()
    command.failure = OSError()
    with pytest.raises(CacheUnavailable):
        await link.run(command)
    command.failure = None

    answer = await link.run(command)

    assert answer == 2


async def test_a_redis_that_hangs_is_given_half_a_second(time: VirtualTime) -> None:
    link = RedisLink.open("unix:///nobody.sock")
    started_s = time.monotonic()

    with pytest.raises(CacheUnavailable):
        await link.run(asyncio.Event().wait)

    assert time.monotonic() - started_s == pytest.approx(0.5)


async def test_a_command_that_failed_is_not_sent_again(link: RedisLink) -> None:
    retry = link.client.get_connection_kwargs()["retry"]

    assert retry.get_retries() == 0


async def test_a_defect_of_ours_is_not_taken_for_an_outage(link: RedisLink) -> None:
    command = Commands()
    command.failure = KeyError("ours")

    with pytest.raises(KeyError):
        await link.run(command)

    assert link.is_up


def test_the_link_shows_no_address_or_password() -> None:
    link = RedisLink.open("redis://:hunter2@127.0.0.1:1/0")

    shown = repr(link)

    assert "hunter2" not in shown
    assert link.key("epoch") == "balance-gateway:epoch"

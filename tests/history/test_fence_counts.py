"""The writes in flight, when the end of one write meets the beginning of another."""

import pytest

from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from tests.history.redis_model import ModelClient, RedisModel

HOLD_S = 10.0


class _Shared:
    """Fences in a modelled Redis, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1.0
        self.redis = RedisModel(lambda: self.now_s * 1000)

    async def _way(self, effect: object) -> object:
        return effect()  # type: ignore[operator]

    async def _nothing_may_land(self) -> bool:
        return False

    def fences(self) -> RedisFences:
        link = RedisClient(ModelClient(self.redis, self._way))  # type: ignore[arg-type]
        return RedisFences(link, HOLD_S, self._nothing_may_land)


async def _settled(fences: Fences) -> bool:
    return (await fences.states(["business"]))[0].settled


async def test_a_write_without_an_answer_outlasts_those_around_it() -> None:
    stage = _Shared()
    fences = stage.fences()
    await fences.begin_write("business", "unanswered")
    stage.now_s += 1
    await fences.begin_write("business", "answered")
    await fences.end_write("business", "answered")
    assert not await _settled(fences)
    stage.now_s += HOLD_S + 0.1
    assert await _settled(fences)


async def test_after_a_loss_of_keys_no_write_ends_another() -> None:
    stage = _Shared()
    first, second = stage.fences(), stage.fences()
    assert await _settled(first)
    assert await _settled(second)
    await first.begin_write("business", "first")
    stage.redis.lose_keys()
    assert not await _settled(second)  # a quarantine as long as the hold begins
    stage.now_s += 1.0
    await second.begin_write("business", "second")  # no answer: it may land as long as the hold
    await first.end_write("business", "first")
    stage.now_s += HOLD_S - 0.5  # the quarantine is over, the hold is not
    assert not await _settled(first)


@pytest.mark.parametrize("shared", [True, False])
async def test_a_slow_write_does_not_end_the_next(shared: bool) -> None:
    stage = _Shared()
    fences: Fences = stage.fences() if shared else MemoryFences(HOLD_S, lambda: stage.now_s)
    await fences.begin_write("business", "slow")
    stage.now_s += HOLD_S + 0.1
    assert await _settled(fences)
    await fences.begin_write("business", "next")
    await fences.end_write("business", "slow")  # it was read back slowly
    assert not await _settled(fences)

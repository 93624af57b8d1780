"""The writes in flight, when one write ends after another has begun."""

import pytest

from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from tests.history.redis_model import ModelClient, RedisModel

HOLD_S = 10.0


class _SharedRedis:
    """Fences in a model of Redis, with a clock that the test advances."""

    def __init__(self) -> None:
        self.now_s = 1.0
        self.redis = RedisModel(lambda: self.now_s * 1000)

    async def _deliver(self, effect: object) -> object:
        return effect()  # type: ignore[operator]

    async def _has_unsettled_writes(self) -> bool:
        return False

    def fences(self) -> RedisFences:
        client = RedisClient(ModelClient(self.redis, self._deliver))  # type: ignore[arg-type]
        return RedisFences(client, HOLD_S, self._has_unsettled_writes)


async def _is_settled(fences: Fences) -> bool:
    return (await fences.states(["business"]))[0].settled


async def test_an_unanswered_write_stays_in_flight_when_others_end() -> None:
    shared_redis = _SharedRedis()
    fences = shared_redis.fences()
    await fences.begin_write("business", "unanswered")
    shared_redis.now_s += 1
    await fences.begin_write("business", "answered")
    await fences.end_write("business", "answered")
    assert not await _is_settled(fences)
    shared_redis.now_s += HOLD_S + 0.1
    assert await _is_settled(fences)


async def test_after_a_loss_of_keys_no_write_ends_another() -> None:
    shared_redis = _SharedRedis()
    first, second = shared_redis.fences(), shared_redis.fences()
    assert await _is_settled(first)
    assert await _is_settled(second)
    await first.begin_write("business", "first")
    shared_redis.redis.lose_keys()
    assert not await _is_settled(second)  # a quarantine of the hold's length has begun
    shared_redis.now_s += 1.0
    await second.begin_write("business", "second")  # unanswered: in flight until its hold expires
    await first.end_write("business", "first")
    shared_redis.now_s += HOLD_S - 0.5  # the quarantine has ended, the hold has not
    assert not await _is_settled(first)


@pytest.mark.parametrize("is_shared", [True, False])
async def test_a_slow_write_does_not_end_the_next(is_shared: bool) -> None:
    shared_redis = _SharedRedis()
    fences: Fences = (
        shared_redis.fences() if is_shared else MemoryFences(HOLD_S, lambda: shared_redis.now_s)
    )
    await fences.begin_write("business", "slow")
    shared_redis.now_s += HOLD_S + 0.1
    assert await _is_settled(fences)
    await fences.begin_write("business", "next")
    await fences.end_write("business", "slow")  # reading it back took longer than the hold
    assert not await _is_settled(fences)

"""The budget that replicas share, counted in a real Redis."""

from balance_gateway.pipeline.budget import MemoryWindow, SharedWindow
from balance_gateway.pipeline.redis_link import RedisLink
from balance_gateway.pipeline.redis_window import redis_take


async def test_replicas_spend_one_budget(link: RedisLink) -> None:
    one, other = (SharedWindow(redis_take(link, "light"), MemoryWindow()) for _ in range(2))

    waits = [await window.take(5) for window in (one, other, one, other, one, other)]

    assert waits[:5] == [0.0] * 5
    assert 50 < waits[5] <= 61


async def test_budgets_of_different_connectors_are_apart(link: RedisLink) -> None:
    one = SharedWindow(redis_take(link, "one"), MemoryWindow())
    other = SharedWindow(redis_take(link, "other"), MemoryWindow())

    assert await one.take(1) == 0.0
    assert await other.take(1) == 0.0
    assert await one.take(1) > 0


async def test_out_of_reach_each_process_counts_for_itself_what_it_has_made() -> None:
    answers: list[float | None] = [0.0, 0.0, None, None]

    async def take(_limit: int) -> float | None:
        return answers.pop(0)

    window = SharedWindow(take, MemoryWindow())

    waits = [await window.take(3) for _ in range(4)]

    assert waits[:3] == [0.0] * 3
    assert waits[3] > 0
    assert window.used() == 3

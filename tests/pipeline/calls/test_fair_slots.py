"""Fair slots: callers take turns, and a cancelled wait loses no slot."""

import asyncio
import random

import pytest

from balance_gateway.pipeline.calls.fair_slots import FairSlots
from balance_gateway.ports.call_context import set_call_context
from tests.pipeline.calls.test_call_gate import make_gate
from tests.pipeline.fakes import run_pending_tasks
from tests.pipeline.virtual_time import VirtualTime


async def test_callers_take_turns(time: VirtualTime) -> None:
    """A queue of a hundred reads of one key once delayed every other reader by seconds."""
    gate = make_gate(time, slots=2)
    order: list[str] = []

    async def read(caller: str) -> None:
        set_call_context(tenant="acme", caller=caller)
        async with gate.slot(write=False):
            order.append(caller)
            await asyncio.sleep(0.1)

    flood = [asyncio.ensure_future(read("flood")) for _ in range(50)]
    await run_pending_tasks()
    others = [asyncio.ensure_future(read(name)) for name in ("page", "page", "report")]
    await asyncio.gather(*flood, *others)

    assert order[:7] == ["flood", "flood", "page", "report", "flood", "page", "flood"]
    assert len(order) == 53


@pytest.mark.parametrize("seed", range(20))
async def test_cancelled_waits_lose_no_slot(time: VirtualTime, seed: int) -> None:
    slots, rng = FairSlots(3), random.Random(seed)
    now, most = 0, 0

    async def hold(caller: int) -> None:
        nonlocal now, most
        await slots.acquire(caller)
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(rng.choice([0.0, 0.1, 0.2]))
        finally:
            now -= 1
            slots.release()

    tasks = [asyncio.ensure_future(hold(rng.randrange(4))) for _ in range(60)]
    for task in rng.sample(tasks, 30):
        await asyncio.sleep(rng.choice([0.0, 0.05]))
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (now, most) == (0, 3)
    assert slots._free == 3
    assert not slots._waiting


async def test_a_slot_given_to_a_cancelled_wait_is_passed_on(time: VirtualTime) -> None:
    slots = FairSlots(1)
    await slots.acquire("a")
    first, second = (asyncio.ensure_future(slots.acquire(name)) for name in ("b", "c"))
    await run_pending_tasks()

    slots.release()
    first.cancel()
    await run_pending_tasks()

    assert first.cancelled()
    assert second.done()

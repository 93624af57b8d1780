"""The door: who is let in, and when the event loop counts as late."""

import asyncio
import time

from balance_gateway.web.admission import Admission, AdmissionLimits


async def test_reads_and_writes_have_bounds_of_their_own() -> None:
    door = Admission(AdmissionLimits(reads=1, writes=1))
    door.enter(write=False)

    assert not door.admits(write=False, received_s=None)
    assert door.admits(write=True, received_s=None)
    door.enter(write=True)
    assert not door.admits(write=True, received_s=None)
    door.leave(write=False)
    assert door.admits(write=False, received_s=None)
    door.close()


async def test_a_loop_that_runs_late_lets_few_reads_in_until_it_runs_well_again() -> None:
    refused: list[int] = []
    door = Admission(AdmissionLimits(reads_when_late=1, late_s=0.05), lambda: refused.append(1))
    door.enter(write=False)
    await asyncio.sleep(0.06)
    assert door.admits(write=False, received_s=None)

    time.sleep(0.2)  # noqa: ASYNC251 - this is what a loop with too much to compute does
    await asyncio.sleep(0.001)
    late = door.admits(write=False, received_s=None)
    write = door.admits(write=True, received_s=None)
    for _ in range(100):
        await asyncio.sleep(0.03)
        if door.admits(write=False, received_s=None):
            break

    assert not late
    assert write
    assert refused
    assert door.admits(write=False, received_s=None)
    door.close()


async def test_who_has_waited_too_long_is_turned_away() -> None:
    door = Admission(AdmissionLimits(waited_s=1.0))
    door.enter(write=False)
    now_s = asyncio.get_running_loop().time()

    assert door.admits(write=False, received_s=now_s - 0.5)
    assert not door.admits(write=False, received_s=now_s - 1.5)
    door.close()

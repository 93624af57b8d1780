"""One look at the storage serves what runs in one turn of the event loop, and nothing later."""

import asyncio

import pytest

from balance_gateway.api.compiled.kept_values import StorageWatch, StoredValidity


class CountedChanges:
    """A storage whose looks are counted; one with round trips answers no ``look_now``."""

    def __init__(self, *, has_round_trips: bool = False) -> None:
        self.version = 1
        self.looks = 0
        self.has_round_trips = has_round_trips

    def look_now(self) -> int | None:
        if self.has_round_trips:
            return None
        self.looks += 1
        return self.version

    async def look(self) -> int:
        self.looks += 1
        await asyncio.sleep(0)
        return self.version


async def ask(watch: StorageWatch) -> int | None:
    watch.begin_request()
    return watch.get_version()


def hold_clock(monkeypatch: pytest.MonkeyPatch, now_s: float = 1.0) -> None:
    """Let the event loop's clock show one instant, as uvloop's does within a turn."""
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)


async def test_requests_of_one_turn_share_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = CountedChanges()
    watch = StorageWatch(changes)
    hold_clock(monkeypatch)

    versions = [await ask(watch) for _ in range(20)]

    assert versions == [1] * 20
    assert changes.looks == 1


async def test_requests_that_arrive_later_in_a_turn_look_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With thousands of connections uvloop asks for readable ones again within a turn."""
    changes = CountedChanges()
    watch = StorageWatch(changes)
    hold_clock(monkeypatch, 1.0)
    first = [await ask(watch) for _ in range(2)]
    changes.version = 2

    hold_clock(monkeypatch, 1.001)
    later = [await ask(watch) for _ in range(2)]

    assert (first, later) == ([1, 1], [2, 2])
    assert changes.looks == 2


async def test_a_request_of_a_later_turn_sees_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    hold_clock(monkeypatch)
    changes = CountedChanges()
    watch = StorageWatch(changes)
    await ask(watch)
    kept = StoredValidity(watch, 1)
    changes.version = 2
    await asyncio.sleep(0)

    assert await ask(watch) == 2
    assert not kept.is_valid


async def test_a_request_that_a_later_callback_starts_looks_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A response ends, and the next request of its connection begins in the same turn."""
    hold_clock(monkeypatch)
    changes = CountedChanges()
    watch = StorageWatch(changes)
    await ask(watch)
    changes.version = 2

    assert await asyncio.create_task(ask(watch)) == 2


async def test_a_look_with_a_round_trip_is_not_shared_with_a_later_request() -> None:
    """Its statement may have been sent before that request."""
    changes = CountedChanges(has_round_trips=True)
    watch = StorageWatch(changes)
    watch.begin_request()

    assert await watch.look() == 1
    assert await ask(watch) is None

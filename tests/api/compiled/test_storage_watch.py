"""One look at the storage serves what runs in one turn of the event loop, and nothing later."""

import asyncio

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


async def test_tasks_of_one_turn_share_a_look() -> None:
    changes = CountedChanges()
    watch = StorageWatch(changes)

    versions = await asyncio.gather(*(ask(watch) for _ in range(20)))

    assert versions == [1] * 20
    assert changes.looks == 1


async def test_a_request_that_is_answered_while_it_is_received_looks_itself() -> None:
    """It may have been sent after a look of the same turn, by a task or for another request."""
    changes = CountedChanges()
    watch = StorageWatch(changes)
    loop = asyncio.get_running_loop()
    seen: list[int | None] = []

    def receive() -> None:
        watch.begin_request()
        seen.append(watch.get_version())
        changes.version += 1

    await ask(watch)
    changes.version = 2
    loop._ready.insert(0, asyncio.Handle(receive, (), loop))  # type: ignore[attr-defined]
    loop._ready.insert(1, asyncio.Handle(receive, (), loop))  # type: ignore[attr-defined]
    await asyncio.sleep(0)

    assert seen == [2, 3]


async def test_a_request_of_a_later_turn_sees_the_change() -> None:
    changes = CountedChanges()
    watch = StorageWatch(changes)
    await ask(watch)
    kept = StoredValidity(watch, 1)
    changes.version = 2
    await asyncio.sleep(0)

    assert await ask(watch) == 2
    assert not kept.is_valid


async def test_a_request_that_a_later_callback_starts_looks_itself() -> None:
    """A response ends, and the next request of its connection begins in the same turn."""
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

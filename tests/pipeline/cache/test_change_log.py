"""The log of changes: what it ends, and for whom one read of it counts."""

import asyncio
from collections.abc import Sequence

import pytest

from balance_gateway.pipeline.cache.change_log import (
    ENTRIES_MAX,
    ChangeLog,
    LogEntry,
    OnEntries,
    name_value,
)
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.ports.cache_validity import LocalCacheVersions


class FakeLink:
    """A log in memory, over a connection that a test answers when it likes.

    Attributes:
        entries: the log.
        reads: what was read, in order: "newest" or the id.
        connection: the number of the connection.
        is_lost: whether no read is answered.
        is_held: whether answers wait for ``answer``.
    """

    def __init__(self) -> None:
        self.entries = [LogEntry(b"1", (b"t", b"one"))]
        self.reads: list[str] = []
        self.connection = 1
        self.is_lost = self.is_held = False
        self._waiting: list[tuple[OnEntries, Sequence[LogEntry] | None]] = []

    def add(self, name: str, value: str) -> None:
        number = len(self.entries) + 1
        fields = (b"t", b"token %d" % number, name.encode(), value.encode())
        self.entries.append(LogEntry(b"%d" % number, fields))

    def read_newest(self, on_entries: OnEntries) -> None:
        self.reads.append("newest")
        self._answer(on_entries, self.entries[-1:])

    def read_from(self, position: LogEntry, on_entries: OnEntries) -> None:
        self.reads.append(position.id.decode())
        found = [each for each in self.entries if int(each.id) >= int(position.id)]
        self._answer(on_entries, found[:ENTRIES_MAX])

    def _answer(self, on_entries: OnEntries, entries: Sequence[LogEntry]) -> None:
        self._waiting.append((on_entries, None if self.is_lost else entries))
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        on_entries, entries = self._waiting.pop(0)
        on_entries(entries)

    async def aclose(self) -> None:
        pass


class Log:
    """A change log over a fake link, with a validity of each of two accounts and a value."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.versions = LocalCacheVersions()
        self.log = ChangeLog(self.link, self.versions)

    def take(self) -> dict[str, bool]:
        self.validities = {
            f"{fence}.{key}": self.versions.validity(fence, key)
            for fence in ("f1", "f2")
            for key in ("account", "today", "past")
        }
        return self.list_valid()

    def list_valid(self) -> dict[str, bool]:
        return {name: each.is_valid for name, each in self.validities.items()}

    def list_ended(self) -> list[str]:
        return [name for name, is_valid in self.list_valid().items() if not is_valid]


@pytest.fixture
async def log() -> Log:
    log = Log()
    assert await log.log.check()
    log.take()
    return log


ALL = [f"{fence}.{key}" for fence in ("f1", "f2") for key in ("account", "today", "past")]


@pytest.mark.parametrize(
    ("name", "value", "ended"),
    [
        ("f", "f1", ["f1.account", "f1.today", "f1.past"]),
        ("f", "unknown", []),
        ("v", name_value("f1", "account", "today"), ["f1.account", "f1.today"]),
        ("v", name_value("f2", "account", "unknown"), ["f2.account"]),
        ("a", "*", ALL),
        ("of a later release", "?", ALL),
    ],
)
async def test_an_entry_ends_what_it_names(
    log: Log, name: str, value: str, ended: list[str]
) -> None:
    log.link.add(name, value)

    assert await log.log.check()

    assert log.list_ended() == ended
    assert log.versions.changes == len(ended) if name == "v" else True


async def test_an_unchanged_log_ends_nothing(log: Log) -> None:
    assert [await log.log.check() for _ in range(3)] == [True] * 3

    assert log.list_ended() == []
    assert log.link.reads == ["newest", "1", "1", "1"]


async def test_an_entry_is_applied_once(log: Log) -> None:
    log.link.add("f", "f1")
    await log.log.check()
    log.take()

    await log.log.check()

    assert log.list_ended() == []
    assert log.link.reads == ["newest", "1", "2"]


@pytest.mark.parametrize("change", ["lost", "trimmed", "another token", "another connection"])
async def test_without_its_position_everything_ends(log: Log, change: str) -> None:
    match change:
        case "lost":
            log.link.entries.clear()
            log.link.entries.append(LogEntry(b"9", (b"t", b"new", b"f", b"f3")))
        case "trimmed":
            log.link.add("f", "f3")
            del log.link.entries[0]
        case "another token":
            log.link.entries[0] = LogEntry(b"1", (b"t", b"two"))
        case _:
            log.link.connection = 2

    assert await log.log.check()

    assert log.list_ended() == ALL


async def test_the_position_of_another_connection_is_not_read_from(log: Log) -> None:
    log.link.connection = 2

    await log.log.check()

    assert log.link.reads == ["newest", "newest"]


async def test_a_reply_over_a_connection_that_was_given_up_ends_everything(log: Log) -> None:
    """Meanwhile another connection has met another server."""
    log.link.is_held = True
    check = log.log.check()
    await asyncio.sleep(0)
    log.link.connection = 2
    log.link.answer()
    log.link.answer()

    assert await check
    assert log.list_ended() == ALL


async def test_validities_taken_before_the_first_read_end() -> None:
    log = Log()
    log.take()

    assert await log.log.check()

    assert log.list_ended() == ALL


async def test_a_long_log_is_read_to_its_end(log: Log) -> None:
    for _ in range(2 * ENTRIES_MAX):
        log.link.add("f", "another")
    log.link.add("f", "f1")

    assert await log.log.check()

    assert log.list_ended() == ["f1.account", "f1.today", "f1.past"]


async def test_requests_of_one_turn_share_a_read(log: Log) -> None:
    checks = [log.log.check() for _ in range(5)]

    assert await asyncio.gather(*checks) == [True] * 5

    assert log.link.reads == ["newest", "1"]


async def test_a_later_request_waits_for_the_next_read(log: Log) -> None:
    """The answer that is under way may be from before a change that the caller knows of."""
    log.link.is_held = True
    early = log.log.check()
    await asyncio.sleep(0)
    log.link.add("f", "f1")
    late = log.log.check()

    log.link.answer()
    await early
    ended_early, is_done_early = log.list_ended(), late.done()
    await asyncio.sleep(0)
    log.link.answer()

    assert await late
    assert (ended_early, is_done_early) == ([], False)
    assert log.list_ended() == ["f1.account", "f1.today", "f1.past"]


async def test_a_cancelled_request_does_not_hinder_the_others(log: Log) -> None:
    log.link.is_held = True
    checks = [log.log.check() for _ in range(3)]
    await asyncio.sleep(0)

    checks[1].cancel()
    log.link.answer()

    assert await checks[0]
    assert await checks[2]


async def test_a_lost_connection_is_made_once_more(log: Log) -> None:
    """A server closes idle connections; that is no failure."""
    log.link.is_held = True
    check = log.log.check()
    await asyncio.sleep(0)
    on_entries, _ = log.link._waiting.pop()
    on_entries(None)
    log.link.answer()

    assert await check
    assert log.link.reads == ["newest", "1", "newest"]
    assert log.list_ended() == ALL


async def test_without_an_answer_nothing_is_known(log: Log) -> None:
    log.link.is_lost = True
    lost = await log.log.check()
    log.link.is_lost = False
    log.take()

    assert (lost, await log.log.check()) == (False, True)
    assert log.list_ended() == ALL


def test_what_is_owed_is_settled_by_a_later_read_only() -> None:
    owed = OwedValues()
    before = owed.begin_read()
    owed.add("a", 100.0)
    after = owed.begin_read()

    owed.settle("a", before)
    was_owed = "a" in owed
    owed.settle("a", after)
    owed.settle("unknown", after)

    assert (was_owed, "a" in owed, len(owed)) == (True, False, 0)


def test_a_value_shown_again_is_owed_from_then_on() -> None:
    owed = OwedValues()
    owed.add("a", 100.0)
    between = owed.begin_read()
    owed.add("a", 100.0)

    owed.settle("a", between)

    assert "a" in owed


def test_what_is_owed_is_forgotten_when_redis_has_no_older_value() -> None:
    now_s = 0.0
    owed = OwedValues(lambda: now_s)
    owed.add("a", 100.0)
    owed.add("b", 300.0)
    now_s = 200.0

    owed.add("c", 100.0)

    assert [key in owed for key in "abc"] == [False, True, True]


def test_a_value_shown_again_hides_none_that_has_expired() -> None:
    now_s = 0.0
    owed = OwedValues(lambda: now_s)
    owed.add("a", 10.0)
    owed.add("b", 10.0)
    owed.add("a", 100.0)
    now_s = 20.0

    owed.add("c", 10.0)

    assert [key in owed for key in "abc"] == [True, False, True]

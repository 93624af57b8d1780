"""Many writes: keys that are used again, callers that go away, other processes."""

import asyncio
from typing import Any

import pytest

from balance_gateway.domain.errors import (
    CacheUnavailable,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertResult,
)
from tests.service.fakes import ADMIN, LIMITS, Desk, opening, upsert


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def essence(result: UpsertResult) -> tuple[Any, ...]:
    assert isinstance(result, Applied)
    return result.account.id, result.opening_balance, result.verified


async def test_a_key_used_again_gets_the_first_outcome_and_nothing_is_sent(desk: Desk) -> None:
    first = await desk.upsert(idempotency_key="k")
    desk.time.advance(100)
    desk.steps.clear()

    again = await desk.upsert(idempotency_key="k")

    assert essence(first) == essence(again)
    assert isinstance(again, Applied)
    assert again.replayed
    assert desk.steps == []


@pytest.mark.parametrize(
    "changes",
    [{"minor_units": 300}, {"memo": "other"}, {"account_id": "acct_b"}, {"reference_number": "r"}],
    ids=str,
)
async def test_a_key_used_for_something_else_is_refused(
    desk: Desk, changes: dict[str, Any]
) -> None:
    await desk.upsert(idempotency_key="k")

    other = await desk.upsert(**{"minor_units": 200, "idempotency_key": "k", **changes})

    assert isinstance(other, Rejected)
    assert (other.code, other.field) == ("BAD_USER_INPUT", "idempotencyKey")
    assert len(desk.bank.sent) == 1


async def test_a_final_rejection_is_replayed_and_an_uncertain_outcome_too(desk: Desk) -> None:
    desk.bank.before = ProviderRejected("no")
    rejected = await desk.upsert(idempotency_key="k")
    desk.bank.before = ProviderTimeout("x", maybe_applied=True)
    uncertain = await desk.upsert(idempotency_key="l")
    desk.bank.before = None

    assert await desk.upsert(idempotency_key="k") == rejected
    assert await desk.upsert(idempotency_key="l") == uncertain
    assert isinstance(uncertain, Uncertain)
    assert len(desk.bank.sent) == 2


async def test_a_rejection_that_can_be_retried_frees_its_key(desk: Desk) -> None:
    desk.bank.before = ProviderUnavailable("No connection.")
    rejected = await desk.upsert(idempotency_key="k")
    desk.bank.before = None

    again = await desk.upsert(idempotency_key="k")

    assert isinstance(rejected, Rejected)
    assert rejected.retryable
    assert isinstance(again, Applied)
    assert not again.replayed


async def test_without_a_key_every_write_is_its_own(desk: Desk) -> None:
    await desk.upsert()

    await desk.upsert()

    assert len(desk.bank.sent) == 2


async def test_fifty_at_once_with_one_key_are_one_call_and_equal_answers(desk: Desk) -> None:
    desk.bank.after = lambda: asyncio.sleep(0.5)

    results = await asyncio.gather(*(desk.upsert(idempotency_key="k") for _ in range(50)))

    assert len(desk.bank.sent) == 1
    assert len(set(map(essence, results))) == 1
    assert sum(isinstance(one, Applied) and one.replayed for one in results) == 49


async def test_fifty_at_once_in_two_processes_are_one_call_and_equal_answers(desk: Desk) -> None:
    desk.bank.after = lambda: asyncio.sleep(0.5)
    processes = [desk.process(), desk.process()]
    request = upsert(idempotency_key="k")

    results = await asyncio.gather(
        *(processes[number % 2].upsert(ADMIN, request) for number in range(50))
    )

    assert len(desk.bank.sent) == 1
    assert len(set(map(essence, results))) == 1


async def test_one_key_for_two_accounts_at_once_is_refused_to_one(desk: Desk) -> None:
    results = await asyncio.gather(
        desk.upsert(idempotency_key="k"), desk.upsert(idempotency_key="k", account_id="acct_b")
    )

    assert sorted(type(one).__name__ for one in results) == ["Applied", "Rejected"]
    assert len(desk.bank.sent) == 1


async def test_behind_writes_that_hang_nobody_waits_for_all_of_them(desk: Desk) -> None:
    """Fifty were once answered one after the other, the last after twelve minutes."""
    desk.bank.before = asyncio.Event().wait
    started_s = desk.time.monotonic()

    results = await asyncio.gather(*(desk.upsert(number) for number in range(50)))
    lasted_s = desk.time.monotonic() - started_s
    desk.bank.before = None
    after = await desk.upsert(1)

    turned_away = [one for one in results if isinstance(one, Rejected)]
    assert [type(one) for one in results].count(Uncertain) == len(desk.bank.sent) - 1 == 3
    assert len(turned_away) == 47
    assert {(one.code, one.retryable) for one in turned_away} == {("PROVIDER_UNAVAILABLE", True)}
    assert "Another write of this account is in progress" in turned_away[0].message
    assert lasted_s < 2 * LIMITS.lease_s
    assert len(desk.outcomes) == 4, "what was turned away is not journalled"
    assert isinstance(after, Applied)


async def test_a_repeat_that_does_not_get_its_turn_is_told_what_its_key_came_to(
    desk: Desk,
) -> None:
    """Rejected it must not be: the first one was applied."""
    first = await desk.upsert(idempotency_key="k")
    desk.bank.before = asyncio.Event().wait
    others = [asyncio.ensure_future(desk.upsert(number)) for number in range(5)]
    await turns()

    repeat = await desk.upsert(idempotency_key="k")
    misused = await desk.upsert(300, idempotency_key="k")
    await asyncio.gather(*others)

    assert essence(repeat) == essence(first)
    assert isinstance(repeat, Applied)
    assert repeat.replayed
    assert isinstance(misused, Rejected)
    assert misused.field == "idempotencyKey"


async def test_writes_of_one_account_go_one_after_the_other(desk: Desk) -> None:
    desk.bank.after = lambda: asyncio.sleep(0.1)

    await asyncio.gather(*(desk.upsert(number) for number in (1, 2, 3)))

    at_once = [step for step in desk.steps if step in ("fenced", "lowered")]
    assert at_once == ["fenced", "lowered"] * 3


@pytest.mark.parametrize("processes", [1, 2])
async def test_writes_of_one_account_under_two_names_go_one_after_the_other(
    desk: Desk, processes: int
) -> None:
    desk.bank.after = lambda: asyncio.sleep(0.1)
    writers = [desk.writer, desk.process()][:processes]
    names = ["acct_a", "acct_a_again"]

    await asyncio.gather(
        *(writers[-index % processes].upsert(ADMIN, upsert(index, account_id=name))
          for index, name in enumerate(names))
    )  # fmt: skip

    at_once = [step for step in desk.steps if step in ("fenced", "lowered")]
    assert at_once == ["fenced", "lowered"] * 2


async def test_a_write_of_another_process_is_waited_for(desk: Desk) -> None:
    desk.bank.after = lambda: asyncio.sleep(1)
    other = asyncio.ensure_future(desk.process().upsert(ADMIN, upsert(1)))
    await turns()

    mine = await desk.upsert(2)

    assert isinstance(mine, Applied)
    assert isinstance(await other, Applied)
    assert [write.amount.minor_units for write in desk.bank.sent] == [1, 2]


async def test_an_account_that_stays_busy_is_said_to_be_and_can_be_retried(desk: Desk) -> None:
    started_s = desk.time.monotonic()
    desk.journal.failing["begin"] = busy()

    result = await desk.upsert()

    assert isinstance(result, Rejected)
    assert result.retryable
    assert desk.bank.sent == []
    assert desk.time.monotonic() - started_s == pytest.approx(LIMITS.lease_s, abs=0.1)


def busy() -> Exception:
    from balance_gateway.ports.write_journal import (
        AccountBusy,
    )

    return AccountBusy()


async def begun_by_a_dead_process(desk: Desk, **request: Any) -> None:
    """A write that a process began and never ended."""
    dead = desk.process()
    desk.bank.before = asyncio.Event().wait
    task = asyncio.ensure_future(dead.upsert(ADMIN, upsert(**request)))
    await turns()
    for under_way in dead._in_progress:
        under_way.cancel()
    await asyncio.gather(task, return_exceptions=True)
    desk.bank.before = None
    assert desk.outcomes == ["started"]


async def test_a_key_of_a_process_that_died_is_uncertain_after_its_lease(desk: Desk) -> None:
    await begun_by_a_dead_process(desk, idempotency_key="k")

    result = await desk.upsert(idempotency_key="k")

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert len(desk.bank.sent) == 1


async def test_a_repeat_that_the_journal_fails_while_it_waits_is_uncertain(desk: Desk) -> None:
    """It was once told that nothing was sent, and the first write landed."""
    may_answer = asyncio.Event()
    desk.bank.before = may_answer.wait
    first = asyncio.ensure_future(desk.process().upsert(ADMIN, upsert(idempotency_key="k")))
    await turns()
    repeat = asyncio.ensure_future(desk.upsert(idempotency_key="k"))
    await turns()

    desk.journal.failing["by_key"] = OSError("disk full")
    told = await repeat
    may_answer.set()

    assert isinstance(told, Uncertain)
    assert told.write_id == "write-1"
    assert isinstance(await first, Applied)


async def test_a_key_that_another_process_frees_while_one_waits_is_used_anew(desk: Desk) -> None:
    """The waiting one once said at the end of the lease that the write is uncertain."""
    may_fail = asyncio.Event()

    async def fail() -> None:
        await may_fail.wait()
        raise ProviderUnavailable("No connection.")

    desk.bank.before = fail
    other = asyncio.ensure_future(desk.process().upsert(ADMIN, upsert(idempotency_key="k")))
    await turns()
    waiting = asyncio.ensure_future(desk.upsert(idempotency_key="k"))
    await turns()
    desk.bank.before = None

    may_fail.set()
    first, second = await asyncio.gather(other, waiting)

    assert isinstance(first, Rejected)
    assert isinstance(second, Applied)
    assert not second.replayed


async def test_a_caller_that_goes_away_does_not_stop_the_write(desk: Desk) -> None:
    may_answer = asyncio.Event()
    desk.bank.before = may_answer.wait
    caller = asyncio.ensure_future(desk.upsert(idempotency_key="k"))
    await turns()

    caller.cancel()
    await turns()
    may_answer.set()
    await desk.writer.drain()

    assert caller.cancelled()
    assert desk.steps[-2:] == ["finished applied", "lowered"]
    assert desk.fence.up == 0


async def test_draining_waits_for_all_that_was_begun(desk: Desk) -> None:
    desk.bank.before = lambda: asyncio.sleep(1)
    callers = [asyncio.ensure_future(desk.upsert(number)) for number in (1, 2)]
    await turns()

    await desk.writer.drain()

    assert desk.outcomes == ["applied", "applied"]
    await asyncio.gather(*callers)


@pytest.mark.parametrize(
    ("standing", "expected", "applied"),
    [
        (100, 100, True),
        (100, 101, False),
        (100, None, False),
        (100, 0, False),
        (0, 0, True),
        (0, None, False),
        (None, None, True),
        (None, 0, False),
        (-100, -100, True),
        (-100, 100, False),
    ],
)
async def test_what_the_caller_expects_is_compared(
    desk: Desk, standing: int | None, expected: int | None, applied: bool
) -> None:
    desk.bank.standing = None if standing is None else opening(standing)

    result = await desk.upsert(expected_previous=ExpectedPrevious(expected))

    assert isinstance(result, Applied if applied else Rejected)
    assert len(desk.bank.sent) == int(applied)
    if isinstance(result, Rejected):
        assert (result.code, result.field) == ("BAD_USER_INPUT", "expectedPrevious")


@pytest.mark.parametrize(
    ("failure", "code", "field"),
    [
        (Unsupported("no way"), "UNSUPPORTED_BY_PROVIDER", "expectedPrevious"),
        (ProviderUnavailable("x"), "PROVIDER_UNAVAILABLE", None),
        (TimeoutError(), "PROVIDER_TIMEOUT", None),
        (asyncio.Event().wait, "PROVIDER_TIMEOUT", None),
    ],
)
async def test_what_cannot_be_compared_is_not_written(
    desk: Desk, failure: Any, code: str, field: str | None
) -> None:
    desk.bank.reading = [failure]

    result = await desk.upsert(expected_previous=ExpectedPrevious(100))

    assert isinstance(result, Rejected)
    assert (result.code, result.field) == (code, field)
    assert desk.bank.sent == []


async def test_of_two_processes_that_expect_the_same_one_is_refused(desk: Desk) -> None:
    """Both once compared before the journal let one go first, and the second won."""
    request = [upsert(value, expected_previous=ExpectedPrevious(100)) for value in (1, 2)]
    desk.bank.reading = [lambda: asyncio.sleep(0.1)] * 2

    results = await asyncio.gather(
        desk.process().upsert(ADMIN, request[0]), desk.process().upsert(ADMIN, request[1])
    )

    assert sorted(type(one).__name__ for one in results) == ["Applied", "Rejected"]
    assert len(desk.bank.sent) == 1
    assert sorted(desk.outcomes) == ["applied", "rejected"]
    assert desk.fence.up == 0


async def test_whatever_fails_nothing_is_ever_sent_twice(desk: Desk) -> None:
    failures = [
        ProviderTimeout("x", maybe_applied=True),
        ProviderUnavailable("x", maybe_applied=True),
        ProviderUnavailable("x"),
        CacheUnavailable("x"),
        ConnectionResetError(),
        TimeoutError(),
    ]

    for number, failure in enumerate(failures):
        desk.bank.before, desk.bank.reading = failure, [None, failure, failure]
        await desk.upsert(number)

    assert [write.amount.minor_units for write in desk.bank.sent] == list(range(len(failures)))

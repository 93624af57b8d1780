"""Tests several writes: repeated keys, cancelled callers and other processes."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.domain.errors import (
    CacheUnavailable,
    ErrorCode,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertResult,
)
from balance_gateway.service.write_results import parse_code
from tests.service.fakes import ADMIN, LIMITS, WriterHarness, opening, upsert


async def yield_repeatedly(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def applied_state(result: UpsertResult) -> tuple[Any, ...]:
    assert isinstance(result, Applied)
    return result.account.id, result.opening_balance.value, result.verified, result.write_id


async def test_a_repeated_key_returns_the_first_outcome_without_sending(
    harness: WriterHarness,
) -> None:
    first = await harness.upsert(idempotency_key="k")
    harness.time.advance(100)
    harness.steps.clear()

    again = await harness.upsert(idempotency_key="k")

    assert applied_state(first) == applied_state(again)
    assert isinstance(again, Applied)
    assert again.replayed
    assert again.opening_balance.state is FreshnessState.CACHED
    assert harness.steps == []


@pytest.mark.parametrize(
    "changes",
    [{"minor_units": 300}, {"memo": "other"}, {"account_id": "acct_b"}, {"reference_number": "r"}],
    ids=str,
)
async def test_a_key_reused_for_a_different_request_is_rejected(
    harness: WriterHarness, changes: dict[str, Any]
) -> None:
    await harness.upsert(idempotency_key="k")

    other = await harness.upsert(**{"minor_units": 200, "idempotency_key": "k", **changes})

    assert isinstance(other, Rejected)
    assert (other.code, other.field) == ("BAD_USER_INPUT", "idempotencyKey")
    assert len(harness.provider.sent) == 1


async def test_final_rejections_and_uncertain_outcomes_are_replayed(harness: WriterHarness) -> None:
    harness.provider.before = ProviderRejected("no")
    rejected = await harness.upsert(idempotency_key="k")
    harness.provider.before = ProviderTimeout("x", maybe_applied=True)
    uncertain = await harness.upsert(idempotency_key="l")
    harness.provider.before = None

    assert isinstance(rejected, Rejected)
    assert isinstance(uncertain, Uncertain)
    # What was set when the first write was rejected is not known of the repeat.
    assert await harness.upsert(idempotency_key="k") == replace(rejected, current=None)
    repeated = await harness.upsert(idempotency_key="l")
    assert isinstance(repeated, Uncertain)
    assert (repeated.write_id, repeated.message) == (uncertain.write_id, uncertain.message)
    assert len(harness.provider.sent) == 2


async def test_a_retryable_rejection_releases_its_key(harness: WriterHarness) -> None:
    harness.provider.before = ProviderUnavailable("No connection.")
    rejected = await harness.upsert(idempotency_key="k")
    harness.provider.before = None

    again = await harness.upsert(idempotency_key="k")

    assert isinstance(rejected, Rejected)
    assert rejected.retryable
    assert isinstance(again, Applied)
    assert not again.replayed


async def test_writes_without_a_key_are_independent(harness: WriterHarness) -> None:
    await harness.upsert()

    await harness.upsert()

    assert len(harness.provider.sent) == 2


async def test_fifty_concurrent_writes_with_one_key_are_one_call(harness: WriterHarness) -> None:
    harness.provider.after = lambda: asyncio.sleep(0.5)

    results = await asyncio.gather(*(harness.upsert(idempotency_key="k") for _ in range(50)))

    assert len(harness.provider.sent) == 1
    assert len(set(map(applied_state, results))) == 1
    assert sum(isinstance(one, Applied) and one.replayed for one in results) == 49


async def test_concurrent_writes_with_one_key_in_two_processes_are_one_call(
    harness: WriterHarness,
) -> None:
    harness.provider.after = lambda: asyncio.sleep(0.5)
    processes = [harness.start_process(), harness.start_process()]
    request = upsert(idempotency_key="k")

    results = await asyncio.gather(
        *(processes[number % 2].upsert(ADMIN, request) for number in range(50))
    )

    assert len(harness.provider.sent) == 1
    assert len(set(map(applied_state, results))) == 1


async def test_one_key_for_two_accounts_at_once_is_rejected_for_one(harness: WriterHarness) -> None:
    results = await asyncio.gather(
        harness.upsert(idempotency_key="k"),
        harness.upsert(idempotency_key="k", account_id="acct_b"),
    )

    assert sorted(type(one).__name__ for one in results) == ["Applied", "Rejected"]
    assert len(harness.provider.sent) == 1


async def test_waiting_behind_slow_writes_is_limited_to_one_lease(harness: WriterHarness) -> None:
    """Fifty writes once ran one after the other; the last response came after twelve minutes."""
    harness.provider.before = asyncio.Event().wait
    started_s = harness.time.monotonic()

    results = await asyncio.gather(*(harness.upsert(number) for number in range(50)))
    lasted_s = harness.time.monotonic() - started_s
    harness.provider.before = None
    after = await harness.upsert(1)

    rejected = [one for one in results if isinstance(one, Rejected)]
    assert [type(one) for one in results].count(Uncertain) == len(harness.provider.sent) - 1 == 3
    assert len(rejected) == 47
    assert {(one.code, one.retryable) for one in rejected} == {("PROVIDER_UNAVAILABLE", True)}
    assert "Another write of this account is in progress" in rejected[0].message
    assert lasted_s < 2 * LIMITS.lease_s
    assert len(harness.outcomes) == 4, "rejected writes are not recorded"
    assert isinstance(after, Applied)


async def test_a_repeat_that_waits_too_long_gets_the_outcome_of_its_key(
    harness: WriterHarness,
) -> None:
    """It must not be rejected, because the first write was applied."""
    first = await harness.upsert(idempotency_key="k")
    harness.provider.before = asyncio.Event().wait
    others = [asyncio.ensure_future(harness.upsert(number)) for number in range(5)]
    await yield_repeatedly()

    repeat = await harness.upsert(idempotency_key="k")
    misused = await harness.upsert(300, idempotency_key="k")
    await asyncio.gather(*others)

    assert applied_state(repeat) == applied_state(first)
    assert isinstance(repeat, Applied)
    assert repeat.replayed
    assert isinstance(misused, Rejected)
    assert misused.field == "idempotencyKey"


async def test_a_repeat_of_another_process_waits_for_the_record_alone(
    harness: WriterHarness,
) -> None:
    """It neither reads the provider nor tries to begin a write of its own."""
    may_answer = asyncio.Event()
    harness.provider.before = may_answer.wait
    first = asyncio.ensure_future(
        harness.start_process().upsert(ADMIN, upsert(idempotency_key="k"))
    )
    await yield_repeatedly()
    harness.steps.clear()
    repeat = asyncio.ensure_future(harness.upsert(idempotency_key="k"))
    await asyncio.sleep(1)
    waited = list(harness.steps)
    may_answer.set()

    assert isinstance(await first, Applied)
    assert applied_state(await repeat) == applied_state(await first)
    assert waited == []


async def test_writes_of_one_account_run_one_after_the_other(harness: WriterHarness) -> None:
    harness.provider.after = lambda: asyncio.sleep(0.1)

    await asyncio.gather(*(harness.upsert(number) for number in (1, 2, 3)))

    at_once = [step for step in harness.steps if step in ("fenced", "lowered")]
    assert at_once == ["fenced", "lowered"] * 3


@pytest.mark.parametrize("processes", [1, 2])
async def test_writes_under_two_ids_of_one_account_run_one_after_the_other(
    harness: WriterHarness, processes: int
) -> None:
    harness.provider.after = lambda: asyncio.sleep(0.1)
    writers = [harness.writer, harness.start_process()][:processes]
    names = ["acct_a", "acct_a_again"]

    await asyncio.gather(
        *(writers[-index % processes].upsert(ADMIN, upsert(index, account_id=name))
          for index, name in enumerate(names))
    )  # fmt: skip

    at_once = [step for step in harness.steps if step in ("fenced", "lowered")]
    assert at_once == ["fenced", "lowered"] * 2


async def test_a_write_waits_for_a_write_of_another_process(harness: WriterHarness) -> None:
    harness.provider.after = lambda: asyncio.sleep(1)
    other = asyncio.ensure_future(harness.start_process().upsert(ADMIN, upsert(1)))
    await yield_repeatedly()

    mine = await harness.upsert(2)

    assert isinstance(mine, Applied)
    assert isinstance(await other, Applied)
    assert [write.amount.minor_units for write in harness.provider.sent] == [1, 2]


async def test_an_account_that_stays_busy_is_a_retryable_rejection(harness: WriterHarness) -> None:
    started_s = harness.time.monotonic()
    harness.journal.failing["begin"] = busy()

    result = await harness.upsert()

    assert isinstance(result, Rejected)
    assert result.retryable
    assert harness.provider.sent == []
    assert harness.time.monotonic() - started_s == pytest.approx(LIMITS.lease_s, abs=0.1)


def busy() -> Exception:
    from balance_gateway.ports.write_journal import AccountBusy

    return AccountBusy()


async def start_write_and_kill_process(harness: WriterHarness, **request: Any) -> None:
    """Start a write in a process that dies before the write has an outcome."""
    dead = harness.start_process()
    harness.provider.before = asyncio.Event().wait
    task = asyncio.ensure_future(dead.upsert(ADMIN, upsert(**request)))
    await yield_repeatedly()
    for task_in_progress in dead._in_progress:
        task_in_progress.cancel()
    await asyncio.gather(task, return_exceptions=True)
    harness.provider.before = None
    assert harness.outcomes == ["started"]


async def test_a_key_of_a_dead_process_is_uncertain_after_its_lease(harness: WriterHarness) -> None:
    await start_write_and_kill_process(harness, idempotency_key="k")

    result = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert len(harness.provider.sent) == 1


async def test_a_repeat_is_uncertain_if_the_journal_fails_while_it_waits(
    harness: WriterHarness,
) -> None:
    """The response was once that nothing was sent, although the first write was applied."""
    may_answer = asyncio.Event()
    harness.provider.before = may_answer.wait
    first = asyncio.ensure_future(
        harness.start_process().upsert(ADMIN, upsert(idempotency_key="k"))
    )
    await yield_repeatedly()
    repeat = asyncio.ensure_future(harness.upsert(idempotency_key="k"))
    await yield_repeatedly()

    harness.journal.failing["by_key"] = OSError("disk full")
    result = await repeat
    may_answer.set()

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert isinstance(await first, Applied)


async def test_a_key_released_while_a_repeat_waits_is_used_again(harness: WriterHarness) -> None:
    """The waiting request was once uncertain at the end of the lease."""
    may_fail = asyncio.Event()

    async def fail() -> None:
        await may_fail.wait()
        raise ProviderUnavailable("No connection.")

    harness.provider.before = fail
    other = asyncio.ensure_future(
        harness.start_process().upsert(ADMIN, upsert(idempotency_key="k"))
    )
    await yield_repeatedly()
    waiting = asyncio.ensure_future(harness.upsert(idempotency_key="k"))
    await yield_repeatedly()
    harness.provider.before = None

    may_fail.set()
    first, second = await asyncio.gather(other, waiting)

    assert isinstance(first, Rejected)
    assert isinstance(second, Applied)
    assert not second.replayed


async def test_a_cancelled_caller_does_not_stop_the_write(harness: WriterHarness) -> None:
    may_answer = asyncio.Event()
    harness.provider.before = may_answer.wait
    caller = asyncio.ensure_future(harness.upsert(idempotency_key="k"))
    await yield_repeatedly()

    caller.cancel()
    await yield_repeatedly()
    may_answer.set()
    await harness.writer.drain()

    assert caller.cancelled()
    assert harness.steps[-2:] == ["finished applied", "lowered"]
    assert harness.fence.raised == 0


async def test_draining_waits_for_all_writes_in_progress(harness: WriterHarness) -> None:
    harness.provider.before = lambda: asyncio.sleep(1)
    callers = [asyncio.ensure_future(harness.upsert(number)) for number in (1, 2)]
    await yield_repeatedly()

    await harness.writer.drain()

    assert harness.outcomes == ["applied", "applied"]
    await asyncio.gather(*callers)


@pytest.mark.parametrize(
    ("current", "expected", "applied"),
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
async def test_the_expected_previous_value_is_compared(
    harness: WriterHarness, current: int | None, expected: int | None, applied: bool
) -> None:
    harness.provider.current = None if current is None else opening(current)

    result = await harness.upsert(expected_previous=ExpectedPrevious(expected))

    assert isinstance(result, Applied if applied else Rejected)
    assert len(harness.provider.sent) == int(applied)
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
async def test_a_write_is_rejected_if_the_comparison_is_impossible(
    harness: WriterHarness, failure: Any, code: str, field: str | None
) -> None:
    harness.provider.reading = [failure]

    result = await harness.upsert(expected_previous=ExpectedPrevious(100))

    assert isinstance(result, Rejected)
    assert (result.code, result.field) == (code, field)
    assert harness.provider.sent == []


async def test_one_of_two_processes_with_the_same_expectation_is_rejected(
    harness: WriterHarness,
) -> None:
    """Both once compared before the journal serialised them, and the second one won."""
    request = [upsert(value, expected_previous=ExpectedPrevious(100)) for value in (1, 2)]
    harness.provider.reading = [lambda: asyncio.sleep(0.1)] * 2

    results = await asyncio.gather(
        harness.start_process().upsert(ADMIN, request[0]),
        harness.start_process().upsert(ADMIN, request[1]),
    )

    assert sorted(type(one).__name__ for one in results) == ["Applied", "Rejected"]
    assert len(harness.provider.sent) == 1
    assert sorted(harness.outcomes) == ["applied", "rejected"]
    assert harness.fence.raised == 0


async def test_no_failure_causes_a_second_send(harness: WriterHarness) -> None:
    failures = [
        ProviderTimeout("x", maybe_applied=True),
        ProviderUnavailable("x", maybe_applied=True),
        ProviderUnavailable("x"),
        CacheUnavailable("x"),
        ConnectionResetError(),
        TimeoutError(),
    ]

    for number, failure in enumerate(failures):
        harness.provider.before, harness.provider.reading = failure, [None, failure, failure]
        await harness.upsert(number)

    assert [write.amount.minor_units for write in harness.provider.sent] == list(
        range(len(failures))
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("PROVIDER_REJECTED", ErrorCode.PROVIDER_REJECTED),
        ("NO_LONGER_A_CODE", ErrorCode.INTERNAL),
        (None, ErrorCode.INTERNAL),
    ],
)
def test_a_recorded_code_is_one_of_the_enum(text: str | None, code: ErrorCode) -> None:
    assert parse_code(text) is code

"""Writes at their time limits, their callback, and records with parts missing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from balance_gateway.domain.errors import (
    ErrorCode,
    ProviderRejected,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.service.opening_balances import Applied, ExpectedPrevious, Rejected, Uncertain
from balance_gateway.service.writer import OpeningBalanceWriter
from tests.service.fakes import LIMITS, REMOTE_ACCOUNTS, WriterHarness


async def test_a_write_prepared_in_exactly_its_limit_is_sent(harness: WriterHarness) -> None:
    harness.fence.slow_s = LIMITS.prepare_s

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert len(harness.provider.sent) == 1


def start_with_callback(harness: WriterHarness) -> list[tuple[str, str]]:
    """Replace the writer by one with a callback; return the list of its calls."""
    outcomes: list[tuple[str, str]] = []
    harness.writer = OpeningBalanceWriter(
        directory=harness.directory,
        providers={"main": harness.provider},
        remote_accounts=REMOTE_ACCOUNTS,
        fence=harness.fence,
        journal=harness.journal,
        reconciler=harness.reconciler,
        sources={"main": harness.provider},
        clock=harness.time.clock,
        new_id=lambda: next(harness.ids),
        limits=LIMITS,
        on_outcome=lambda connector, outcome: outcomes.append((connector, outcome)),
    )
    return outcomes


async def test_each_executed_write_reports_its_outcome(harness: WriterHarness) -> None:
    outcomes = start_with_callback(harness)

    await harness.upsert(idempotency_key="k")
    await harness.upsert(idempotency_key="k")  # replayed
    await harness.upsert(currency="USD")  # not executed
    harness.provider.before = ProviderRejected("no")
    await harness.upsert(300)
    harness.provider.before = ProviderUnavailable("?", maybe_applied=True)
    await harness.upsert(400)

    assert outcomes == [("main", "applied"), ("main", "rejected"), ("main", "uncertain")]


async def test_a_rejection_has_the_fields_of_its_error(harness: WriterHarness) -> None:
    harness.provider.before = ProviderRejected("The amount is bad.", field="amount")

    result = await harness.upsert()

    assert isinstance(result, Rejected)
    assert (result.code, result.message) == (ErrorCode.PROVIDER_REJECTED, "The amount is bad.")
    assert (result.retryable, result.field) == (False, "amount")


async def test_a_replay_is_dated_at_the_end_of_the_write(harness: WriterHarness) -> None:
    first = await harness.upsert(idempotency_key="k")
    harness.time.advance(100)

    second = await harness.upsert(idempotency_key="k")

    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert second.opening_balance.observed_at == first.opening_balance.observed_at
    assert (first.replayed, second.replayed) == (False, True)


async def test_a_rejected_record_without_a_reason_is_replayed(harness: WriterHarness) -> None:
    harness.provider.before = ProviderRejected("no")
    await harness.upsert(idempotency_key="k")
    (record,) = harness.journal.records.values()
    harness.journal.records[record.intent.id] = replace(record, error_code=None, error_message=None)

    result = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert (result.code, result.message) == (ErrorCode.INTERNAL, "The write was rejected.")


async def test_an_uncertain_write_says_what_to_do(harness: WriterHarness) -> None:
    harness.provider.before = ProviderUnavailable("?", maybe_applied=True)

    result = await harness.upsert()

    assert isinstance(result, Uncertain)
    assert (result.account.id, result.write_id) == ("acct_a", "write-1")
    assert "Check the opening balance at the provider" in result.message
    (record,) = harness.journal.records.values()
    assert record.outcome is WriteOutcome.UNCERTAIN
    assert (record.error_code, record.error_retryable) == ("PROVIDER_UNAVAILABLE", False)


async def test_a_write_waiting_for_another_process_is_sent_soon_after_its_end(
    harness: WriterHarness,
) -> None:
    await harness.upsert()
    (record,) = harness.journal.records.values()
    started = replace(record.intent, started_at=harness.time.clock())
    harness.journal.records["write-1"] = replace(
        record, intent=started, outcome=WriteOutcome.STARTED
    )
    waits = 0

    async def count_waits() -> None:
        nonlocal waits
        waits += 1

    harness.provider.reading = [count_waits]
    before = harness.time.clock()
    result = await harness.upsert(300)

    # The other write's lease ends first; then one poll finds the account free.
    assert isinstance(result, Applied)
    assert waits == 1
    waited = harness.time.clock() - before
    assert timedelta(0) <= waited - timedelta(seconds=LIMITS.lease_s) < timedelta(seconds=0.2)


async def test_an_expectation_that_cannot_be_read_is_refused(harness: WriterHarness) -> None:
    harness.provider.reading = [Unsupported("no reads")]

    result = await harness.upsert(expected_previous=ExpectedPrevious(100))

    assert isinstance(result, Rejected)
    assert (result.code, result.field) == (Unsupported.code, "expectedPrevious")
    assert "leave it out" in result.message
    assert harness.provider.sent == []


@pytest.mark.parametrize("minor_units", [100, 101])
async def test_the_expectation_decides_whether_the_write_is_sent(
    harness: WriterHarness, minor_units: int
) -> None:
    await harness.upsert(expected_previous=ExpectedPrevious(minor_units))

    assert len(harness.provider.sent) == (minor_units == 100)

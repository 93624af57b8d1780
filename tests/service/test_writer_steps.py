"""Tests one write: the order of its steps and the result when a step fails."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.errors import (
    BadInput,
    CacheUnavailable,
    GatewayError,
    Internal,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.ports.call_context import current_call
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain
from tests.service.fakes import ADMIN, EVERYTHING, LIMITS, READER, WriterHarness, opening, upsert

Never = asyncio.Event


async def test_a_write_runs_its_steps_in_order(harness: WriterHarness) -> None:
    result = await harness.upsert()

    assert harness.steps == [
        "read",
        "begun",
        "fenced",
        "sent",
        "read",
        "finished applied",
        "lowered",
    ]
    assert isinstance(result, Applied)
    assert result.opening_balance.value == opening(200)
    assert (result.verified, result.replayed) == (True, False)
    assert harness.fence.raised == 0


async def test_the_requested_values_are_sent(harness: WriterHarness) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    await harness.upsert(None, amount_text="-12.3", effective_at=at, memo="m", reference_number="r")

    (sent,) = harness.provider.sent
    account = harness.directory.find_account("acme", "acct_a")
    assert account is not None
    assert sent == OpeningBalanceWrite(account, Money(-1230, "EUR"), at, "m", "r")


async def test_the_record_contains_caller_values_and_times(harness: WriterHarness) -> None:
    started_at = harness.time.clock()

    await harness.upsert(idempotency_key="k")

    (record,) = harness.journal.records.values()
    intent = record.intent
    assert (intent.id, intent.principal, intent.tenant) == ("write-1", "admin", "acme")
    assert (intent.account_id, intent.connector, intent.idempotency_key) == ("acct_a", "main", "k")
    assert (intent.previous, intent.amount) == (opening(100), Money(200, "EUR"))
    assert (intent.started_at, intent.effective_at) == (started_at, started_at)
    assert (record.applied, record.verified) == (opening(200), True)


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "USD"},
        {"account_id": "acct_z"},
        {"account_id": "unknown"},
        {"memo": "x" * 1001},
    ],
    ids=str,
)
async def test_an_invalid_request_runs_no_step(
    harness: WriterHarness, changes: dict[str, Any]
) -> None:
    result = await harness.upsert(**changes)

    assert isinstance(result, Rejected)
    assert harness.steps == []


async def test_a_missing_scope_hides_whether_the_account_exists(harness: WriterHarness) -> None:
    mine = await harness.writer.upsert(READER, upsert())
    unknown = await harness.writer.upsert(READER, upsert(account_id="unknown"))

    assert isinstance(mine, Rejected)
    assert mine.code == "FORBIDDEN"
    assert mine == unknown
    assert harness.steps == []


async def test_an_account_of_another_tenant_is_not_found(harness: WriterHarness) -> None:
    theirs = await harness.upsert(account_id="acct_z")
    unknown = await harness.upsert(account_id="unknown")

    assert theirs == unknown
    assert isinstance(theirs, Rejected)
    assert theirs.code == "ACCOUNT_NOT_FOUND"


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), Unsupported("x"), Never().wait])
async def test_an_unreadable_previous_value_is_recorded_as_unknown(
    harness: WriterHarness, failure: Any
) -> None:
    harness.provider.reading = [failure]

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert harness.journal.records["write-1"].intent.previous is None


@pytest.mark.parametrize("failure", [OSError("disk full"), Internal("out of reach")])
@pytest.mark.parametrize("step", ["by_key", "begin"])
async def test_an_unrecorded_write_is_not_sent_and_is_retryable(
    harness: WriterHarness, step: str, failure: Exception
) -> None:
    harness.journal.failing[step] = failure

    result = await harness.upsert(idempotency_key="k")
    steps = set(harness.steps)
    harness.journal.failing.clear()
    again = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("INTERNAL", True)
    assert "sent" not in steps
    assert isinstance(again, Applied)
    assert not again.replayed


async def test_a_write_that_takes_too_long_to_prepare_is_not_sent(harness: WriterHarness) -> None:
    """After a crash, recovery holds the fence only for as long as a write sent in time may take."""
    harness.fence.slow_s = LIMITS.prepare_s + 0.1

    result = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("PROVIDER_TIMEOUT", True)
    assert harness.steps == ["read", "begun", "fenced", "finished rejected", "lowered"]
    assert harness.fence.raised == 0


async def test_a_write_starts_when_it_is_recorded_not_when_requested(
    harness: WriterHarness,
) -> None:
    """After a crash, the fence of a write that had waited was once held for too short a time."""
    harness.provider.after = lambda: asyncio.sleep(3)
    asked_at = harness.time.clock()

    await asyncio.gather(harness.start_process().upsert(ADMIN, upsert(1)), harness.upsert(2))

    started = [record.intent.started_at for record in harness.journal.records.values()]
    assert started[0] == asked_at
    assert (started[1] - asked_at).total_seconds() >= 3


async def test_an_unfenced_write_is_not_sent_and_is_recorded_as_rejected(
    harness: WriterHarness,
) -> None:
    harness.fence.failing = CacheUnavailable("The shared cache is out of reach.")

    result = await harness.upsert()

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("PROVIDER_UNAVAILABLE", True)
    assert result.message == "The shared cache is out of reach."
    assert result.write_id == "write-1"
    assert harness.steps == ["read", "begun", "finished rejected"]
    assert harness.outcomes == ["rejected"]


@pytest.mark.parametrize("failure", [KeyError("a defect"), Internal("a defect")])
async def test_a_defect_in_fencing_is_recorded_as_rejected(
    harness: WriterHarness, failure: Exception
) -> None:
    """The write was once left as started, so that a repeated request became uncertain."""
    harness.fence.failing = failure

    result = await harness.upsert(idempotency_key="k")
    harness.fence.failing = None
    replay = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert isinstance(replay, Rejected)
    assert replay == replace(result, current=None)
    assert result.code == "INTERNAL"
    assert harness.provider.sent == []


@pytest.mark.parametrize(
    "failure",
    [
        ProviderRejected("The provider refused.", field="amount"),
        ProviderUnavailable("No connection."),
        ProviderRateLimited("Spent."),
        ProviderCredentialsRejected("Unknown client."),
        BadInput("Too large.", field="amount"),
        Unsupported("No route."),
    ],
    ids=lambda failure: failure.code,
)
async def test_a_definite_failure_is_rejected_with_its_reason(
    harness: WriterHarness, failure: GatewayError
) -> None:
    harness.provider.before = failure

    result = await harness.upsert()

    assert isinstance(result, Rejected)
    assert (result.code, result.message) == (failure.code, failure.message)
    assert (result.retryable, result.field) == (failure.retryable, failure.field)
    assert result.current is not None
    assert result.current.value == opening(100)
    assert harness.steps == ["read", "begun", "fenced", "sent", "finished rejected", "lowered"]


def name_failure(failure: Any) -> str:
    """Return the id of a case, without the address that the text of an object contains."""
    return repr(failure) if isinstance(failure, Exception) else "no answer"


UNCLEAR_FAILURES = [
    ProviderTimeout("x", maybe_applied=True),
    ProviderUnavailable("x", maybe_applied=True),
    ProviderBadResponse("x", maybe_applied=True),
    TimeoutError(),
    KeyError("a defect"),
    Never().wait,
]


@pytest.mark.parametrize("failure", UNCLEAR_FAILURES, ids=name_failure)
async def test_an_unclear_failure_is_uncertain_and_stays_fenced(
    harness: WriterHarness, failure: Any
) -> None:
    harness.provider.before = failure

    result = await harness.upsert()

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert harness.steps[-1] == "finished uncertain"
    assert harness.fence.raised == 1
    assert len(harness.provider.sent) == 1


@pytest.mark.parametrize("was_sent", [False, True])
async def test_a_timed_out_write_is_rejected_if_it_was_not_sent(
    harness: WriterHarness, *, was_sent: bool
) -> None:
    """It was once uncertain and left the account fenced, although it only waited for a token."""

    async def wait_forever() -> None:
        status = current_call().send_status
        assert status is not None
        status.mark_waiting()
        if was_sent:
            status.sent = True
        await Never().wait()

    harness.provider.before = wait_forever

    result = await harness.upsert(idempotency_key="k")
    harness.provider.before = None
    again = await harness.upsert(idempotency_key="k")

    if was_sent:
        assert isinstance(result, Uncertain)
        assert harness.outcomes == ["uncertain"]
    else:
        assert isinstance(result, Rejected)
        assert (result.code, result.retryable) == ("PROVIDER_TIMEOUT", True)
        assert isinstance(again, Applied)
        assert harness.outcomes == ["rejected", "applied"]
    assert harness.fence.raised == int(was_sent)


@pytest.mark.parametrize("failure", UNCLEAR_FAILURES, ids=name_failure)
async def test_a_value_found_after_an_unclear_failure_is_applied_and_fenced(
    harness: WriterHarness, failure: Any
) -> None:
    """Another writer may have set the same amount, and this write may still take effect."""
    harness.provider.after = failure

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert result.verified
    assert harness.steps[-1] == "finished applied"
    assert harness.fence.raised == 1
    assert len(harness.provider.sent) == 1


async def test_finding_the_previous_value_proves_nothing(harness: WriterHarness) -> None:
    harness.provider.current = opening(200)
    harness.provider.before = ProviderTimeout("x", maybe_applied=True)

    result = await harness.upsert(200)

    assert isinstance(result, Uncertain)
    assert harness.fence.raised == 1


async def test_finding_a_value_where_none_was_set_is_proof(harness: WriterHarness) -> None:
    harness.provider.current = None
    harness.provider.after = ProviderTimeout("x", maybe_applied=True)

    result = await harness.upsert(0)

    assert isinstance(result, Applied)


async def test_a_failed_read_back_after_an_unclear_failure_is_uncertain(
    harness: WriterHarness,
) -> None:
    harness.provider.after = ProviderTimeout("x", maybe_applied=True)
    harness.provider.reading = [None, ProviderUnavailable("x")]

    result = await harness.upsert()

    assert isinstance(result, Uncertain)


@pytest.mark.parametrize(
    "failure", [ProviderUnavailable("x"), KeyError("a defect"), Never().wait], ids=name_failure
)
async def test_a_confirmed_write_without_read_back_is_unverified(
    harness: WriterHarness, failure: Any
) -> None:
    """A defect in reading back was once reported as a write that was not sent."""
    harness.provider.reading = [None, failure]

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert result.opening_balance.value == opening(200, memo="as confirmed")
    assert harness.steps[-2:] == ["finished applied", "lowered"]


async def test_a_provider_without_reads_is_not_read_after_a_write(harness: WriterHarness) -> None:
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert harness.steps.count("read") == 1


async def test_a_different_value_read_back_is_returned_unverified(harness: WriterHarness) -> None:
    async def write_by_another_client() -> None:
        harness.provider.current = opening(999)

    harness.provider.after = write_by_another_client

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert result.opening_balance.value == opening(999)

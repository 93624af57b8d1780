"""One write: the order of its steps, and what the failure of each of them means."""

import asyncio
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
from balance_gateway.ports.call_context import (
    current_call,
)
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain
from tests.service.fakes import ADMIN, EVERYTHING, LIMITS, READER, Desk, opening, upsert

HANG = asyncio.Event


async def test_a_write_takes_its_steps_in_order(desk: Desk) -> None:
    result = await desk.upsert()

    assert desk.steps == ["read", "begun", "fenced", "sent", "read", "finished applied", "lowered"]
    assert isinstance(result, Applied)
    assert result.opening_balance.value == opening(200)
    assert (result.verified, result.replayed) == (True, False)
    assert desk.fence.up == 0


async def test_what_was_asked_for_is_what_is_sent(desk: Desk) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    await desk.upsert(None, amount_text="-12.3", effective_at=at, memo="m", reference_number="r")

    (sent,) = desk.bank.sent
    account = desk.directory.find_account("acme", "acct_a")
    assert account is not None
    assert sent == OpeningBalanceWrite(account, Money(-1230, "EUR"), at, "m", "r")


async def test_the_record_tells_who_what_was_what_is_and_when(desk: Desk) -> None:
    started_at = desk.time.clock()

    await desk.upsert(idempotency_key="k")

    (record,) = desk.journal.records.values()
    intent = record.intent
    assert (intent.id, intent.principal, intent.tenant) == ("write-1", "admin", "acme")
    assert (intent.account_id, intent.connector, intent.idempotency_key) == ("acct_a", "main", "k")
    assert (intent.previous, intent.amount) == (opening(100), Money(200, "EUR"))
    assert (intent.started_at, intent.effective_at) == (started_at, started_at)
    assert (record.applied, record.verified) == (opening(200), True)


@pytest.mark.parametrize(
    "changes",
    [{"currency": "USD"}, {"account_id": "acct_z"}, {"account_id": "nobody"}, {"memo": "x" * 1001}],
    ids=str,
)
async def test_a_write_that_cannot_be_planned_leaves_no_trace(
    desk: Desk, changes: dict[str, Any]
) -> None:
    result = await desk.upsert(**changes)

    assert isinstance(result, Rejected)
    assert desk.steps == []


async def test_a_caller_without_the_scope_learns_nothing_of_the_account(desk: Desk) -> None:
    mine = await desk.writer.upsert(READER, upsert())
    nobodys = await desk.writer.upsert(READER, upsert(account_id="nobody"))

    assert isinstance(mine, Rejected)
    assert mine.code == "FORBIDDEN"
    assert mine == nobodys
    assert desk.steps == []


async def test_another_tenants_account_reads_like_none(desk: Desk) -> None:
    theirs = await desk.upsert(account_id="acct_z")
    nobodys = await desk.upsert(account_id="nobody")

    assert theirs == nobodys
    assert isinstance(theirs, Rejected)
    assert theirs.code == "ACCOUNT_NOT_FOUND"


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), Unsupported("x"), HANG().wait])
async def test_a_previous_value_that_cannot_be_read_is_recorded_as_unknown(
    desk: Desk, failure: Any
) -> None:
    desk.bank.reading = [failure]

    result = await desk.upsert()

    assert isinstance(result, Applied)
    assert desk.journal.records["write-1"].intent.previous is None


@pytest.mark.parametrize("failure", [OSError("disk full"), Internal("out of reach")])
@pytest.mark.parametrize("step", ["by_key", "begin"])
async def test_what_cannot_be_journalled_is_not_sent_and_can_be_tried_again(
    desk: Desk, step: str, failure: Exception
) -> None:
    desk.journal.failing[step] = failure

    result = await desk.upsert(idempotency_key="k")
    steps = set(desk.steps)
    desk.journal.failing.clear()
    again = await desk.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("INTERNAL", True)
    assert steps <= {"read"}
    assert isinstance(again, Applied)
    assert not again.replayed


async def test_a_write_that_took_too_long_to_prepare_is_not_sent(desk: Desk) -> None:
    """After a crash the fence is held for no longer than a write sent in time may take."""
    desk.fence.slow_s = LIMITS.prepare_s + 0.1

    result = await desk.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("PROVIDER_TIMEOUT", True)
    assert desk.steps == ["read", "begun", "fenced", "finished rejected", "lowered"]
    assert desk.fence.up == 0


async def test_a_writes_start_is_when_it_was_begun_and_not_when_it_was_asked_for(
    desk: Desk,
) -> None:
    """A crash after a wait once left a fence that was held for too short a time."""
    desk.bank.after = lambda: asyncio.sleep(3)
    asked_at = desk.time.clock()

    await asyncio.gather(desk.process().upsert(ADMIN, upsert(1)), desk.upsert(2))

    started = [record.intent.started_at for record in desk.journal.records.values()]
    assert started[0] == asked_at
    assert (started[1] - asked_at).total_seconds() >= 3


async def test_what_cannot_be_fenced_is_not_sent_and_recorded_as_rejected(desk: Desk) -> None:
    desk.fence.failing = CacheUnavailable("The shared cache is out of reach.")

    result = await desk.upsert()

    assert result == Rejected(
        "PROVIDER_UNAVAILABLE", "The shared cache is out of reach.", True, None
    )
    assert desk.steps == ["read", "begun", "finished rejected"]
    assert desk.outcomes == ["rejected"]


@pytest.mark.parametrize("failure", [KeyError("a defect"), Internal("a defect")])
async def test_a_defect_in_fencing_is_recorded_as_rejected_too(
    desk: Desk, failure: Exception
) -> None:
    """It once left the write begun, so that a repetition was told that it is uncertain."""
    desk.fence.failing = failure

    result = await desk.upsert(idempotency_key="k")
    desk.fence.failing = None
    replay = await desk.upsert(idempotency_key="k")

    assert isinstance(result, Rejected)
    assert replay == result
    assert result.code == "INTERNAL"
    assert desk.bank.sent == []


@pytest.mark.parametrize(
    "failure",
    [
        ProviderRejected("It said no.", field="amount"),
        ProviderUnavailable("No connection."),
        ProviderRateLimited("Spent."),
        ProviderCredentialsRejected("Who?"),
        BadInput("Too large for it.", field="amount"),
        Unsupported("No route."),
    ],
    ids=lambda failure: failure.code,
)
async def test_what_certainly_was_not_applied_is_rejected_with_the_reason(
    desk: Desk, failure: GatewayError
) -> None:
    desk.bank.before = failure

    result = await desk.upsert()

    assert result == Rejected(failure.code, failure.message, failure.retryable, failure.field)
    assert desk.steps == ["read", "begun", "fenced", "sent", "finished rejected", "lowered"]


UNCLEAR = [
    ProviderTimeout("x", maybe_applied=True),
    ProviderUnavailable("x", maybe_applied=True),
    ProviderBadResponse("x", maybe_applied=True),
    TimeoutError(),
    KeyError("a defect"),
    HANG().wait,
]


@pytest.mark.parametrize("failure", UNCLEAR, ids=repr)
async def test_what_may_have_been_applied_is_uncertain_and_stays_fenced(
    desk: Desk, failure: Any
) -> None:
    desk.bank.before = failure

    result = await desk.upsert()

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert desk.steps[-1] == "finished uncertain"
    assert desk.fence.up == 1
    assert len(desk.bank.sent) == 1


@pytest.mark.parametrize("has_left", [False, True])
async def test_a_write_that_is_given_up_is_rejected_if_it_was_still_waiting(
    desk: Desk, *, has_left: bool
) -> None:
    """It was once uncertain, and its account fenced, though it had waited for a token all along."""

    async def wait_for_ever() -> None:
        told = current_call().send_status
        assert told is not None
        told.mark_waiting()
        if has_left:
            told.sent = True
        await HANG().wait()

    desk.bank.before = wait_for_ever

    result = await desk.upsert(idempotency_key="k")
    desk.bank.before = None
    again = await desk.upsert(idempotency_key="k")

    if has_left:
        assert isinstance(result, Uncertain)
        assert desk.outcomes == ["uncertain"]
    else:
        assert isinstance(result, Rejected)
        assert (result.code, result.retryable) == ("PROVIDER_TIMEOUT", True)
        assert isinstance(again, Applied)
        assert desk.outcomes == ["rejected", "applied"]
    assert desk.fence.up == int(has_left)


@pytest.mark.parametrize("failure", UNCLEAR, ids=repr)
async def test_what_is_found_at_the_provider_after_an_unclear_answer_is_applied_and_stays_fenced(
    desk: Desk, failure: Any
) -> None:
    """Somebody else may have written the same amount, and ours may still land."""
    desk.bank.after = failure

    result = await desk.upsert()

    assert isinstance(result, Applied)
    assert result.verified
    assert desk.steps[-1] == "finished applied"
    assert desk.fence.up == 1
    assert len(desk.bank.sent) == 1


async def test_finding_a_value_that_stood_before_proves_nothing(desk: Desk) -> None:
    desk.bank.standing = opening(200)
    desk.bank.before = ProviderTimeout("x", maybe_applied=True)

    result = await desk.upsert(200)

    assert isinstance(result, Uncertain)
    assert desk.fence.up == 1


async def test_finding_a_value_where_none_was_known_is_enough(desk: Desk) -> None:
    desk.bank.standing = None
    desk.bank.after = ProviderTimeout("x", maybe_applied=True)

    result = await desk.upsert(0)

    assert isinstance(result, Applied)


async def test_what_cannot_be_read_back_after_an_unclear_answer_is_uncertain(desk: Desk) -> None:
    desk.bank.after = ProviderTimeout("x", maybe_applied=True)
    desk.bank.reading = [None, ProviderUnavailable("x")]

    result = await desk.upsert()

    assert isinstance(result, Uncertain)


@pytest.mark.parametrize(
    "failure", [ProviderUnavailable("x"), KeyError("a defect"), HANG().wait], ids=repr
)
async def test_an_acknowledged_write_that_cannot_be_read_back_is_applied_and_unverified(
    desk: Desk, failure: Any
) -> None:
    """A defect in reading back once made of it: could not be recorded and was not sent."""
    desk.bank.reading = [None, failure]

    result = await desk.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert result.opening_balance.value == opening(200, memo="as answered")
    assert desk.steps[-2:] == ["finished applied", "lowered"]


async def test_a_provider_that_cannot_be_read_is_not_asked_after_a_write(desk: Desk) -> None:
    desk.bank.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}

    result = await desk.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert desk.steps.count("read") == 1


async def test_a_value_read_back_that_differs_is_shown_and_not_called_verified(desk: Desk) -> None:
    async def somebody_else() -> None:
        desk.bank.standing = opening(999)

    desk.bank.after = somebody_else

    result = await desk.upsert()

    assert isinstance(result, Applied)
    assert not result.verified
    assert result.opening_balance.value == opening(999)


@pytest.mark.parametrize("before", [None, ProviderRejected("no")])
async def test_an_outcome_that_cannot_be_recorded_is_uncertain_and_the_fence_stays_up(
    desk: Desk, before: Exception | None
) -> None:
    desk.bank.before = before
    desk.journal.failing["finish"] = OSError("disk full")

    result = await desk.upsert()

    assert isinstance(result, Uncertain)
    assert desk.fence.up == 1
    assert "lowered" not in desk.steps
    assert desk.outcomes == ["started"]

"""Tests how uncertain writes are settled, and that compare-and-set waits for it."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.errors import (
    BadInput,
    CacheUnavailable,
    Forbidden,
    ProviderBadResponse,
    ProviderTimeout,
    ProviderUnavailable,
    WriteUnsettled,
)
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    UnsettledWrite,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertResult,
)
from tests.service.fakes import ADMIN, EVERYTHING, HOLD_S, READER, WriterHarness, account, opening
from tests.service.fakes import upsert as build_request

LOST = ProviderTimeout("No answer.", maybe_applied=True)
THEIR_ADMIN = Principal("theirs", "globex", frozenset(Scope))
DERIVED = OpeningBalanceSource.DERIVED


async def write_without_answer(harness: WriterHarness, amount: int = 200, **changes: Any) -> str:
    """Make a write over 100 whose answer is lost and that has not taken effect."""
    harness.provider.before = LOST
    result = await harness.upsert(amount, **changes)
    harness.provider.before = None
    assert isinstance(result, Uncertain)
    return result.write_id


def get_record(harness: WriterHarness, write_id: str) -> WriteRecord:
    return harness.journal.records[write_id]


async def compare(harness: WriterHarness, expected: int = 100, **changes: Any) -> UpsertResult:
    return await harness.upsert(300, expected_previous=ExpectedPrevious(expected), **changes)


async def test_compare_and_set_is_refused_while_a_write_is_unsettled(
    harness: WriterHarness,
) -> None:
    """It once replaced a value that the uncertain write had already replaced."""
    await write_without_answer(harness)
    harness.steps.clear()

    refused = await compare(harness)
    again = await compare(harness, account_id="acct_a_again")
    theirs = await harness.writer.upsert(
        THEIR_ADMIN,
        build_request(300, account_id="acct_a_theirs", expected_previous=ExpectedPrevious(100)),
    )

    for result in (refused, again, theirs):
        assert isinstance(result, Rejected)
        assert (result.code, result.retryable) == ("WRITE_UNSETTLED", True)
        assert result.write_id is None
        assert result.retry_after_s == pytest.approx(HOLD_S, abs=1)
    assert harness.steps == []


async def test_a_write_that_another_process_leaves_in_doubt_refuses_the_comparison(
    harness: WriterHarness,
) -> None:
    """It becomes uncertain after this write was planned and before it was recorded."""
    other = harness.start_process()
    harness.provider.before = lambda: asyncio.sleep(3)
    harness.provider.after = LOST
    harness.provider.reading = [None, None, ProviderUnavailable("x")]
    uncertain = asyncio.ensure_future(other.upsert(ADMIN, build_request(200)))
    await asyncio.sleep(1)

    result = await compare(harness)

    assert isinstance(await uncertain, Uncertain)
    assert isinstance(result, Rejected)
    assert result.code == "WRITE_UNSETTLED"
    assert len(harness.provider.sent) == 1


async def test_writes_without_a_comparison_go_on(harness: WriterHarness) -> None:
    await write_without_answer(harness)

    assert isinstance(await harness.upsert(300), Applied)
    assert isinstance(await compare(harness, account_id="acct_b", expected=300), Applied)


async def test_an_unreadable_journal_refuses_the_comparison(harness: WriterHarness) -> None:
    harness.journal.failing["unsettled"] = OSError("disk")

    result = await compare(harness)

    assert isinstance(result, Rejected)
    assert (result.code, result.retryable) == ("INTERNAL", True)
    assert harness.provider.sent == []


async def test_a_read_that_shows_what_was_sent_proves_the_write(harness: WriterHarness) -> None:
    write_id = await write_without_answer(harness)
    harness.provider.current = opening(200)

    await harness.reconciler.settle_all()

    record = get_record(harness, write_id)
    assert (record.outcome, record.applied) == (WriteOutcome.APPLIED, opening(200))
    assert record.settlement is not None
    assert record.settlement.how is SettledBy.PROVED
    assert (record.verified, record.error_code) == (True, None)
    # The fence of the write stays until its hold ends; that of the settlement is lowered.
    assert harness.fence.write_ids == {write_id}
    assert harness.steps[-3:] == ["fenced", "settled proved", "lowered"]
    assert (harness.settled, harness.counts) == ([("main", "proved")], [0])
    assert isinstance(await compare(harness, expected=200), Applied)


async def test_only_a_read_from_after_the_hold_disproves_a_write(harness: WriterHarness) -> None:
    write_id = await write_without_answer(harness, idempotency_key="k")
    harness.time.advance(HOLD_S - 0.1)
    await harness.reconciler.settle_all()
    within = get_record(harness, write_id).outcome
    harness.time.advance(0.1)

    await harness.reconciler.settle_all()

    record = get_record(harness, write_id)
    assert (within, record.outcome) == (WriteOutcome.UNCERTAIN, WriteOutcome.REJECTED)
    repeat = await harness.upsert(200, idempotency_key="k")
    assert isinstance(repeat, Rejected)
    assert (repeat.code, repeat.retryable) == ("WRITE_NOT_APPLIED", False)
    assert isinstance(await compare(harness), Applied)
    assert harness.counts == [1, 0]


async def test_a_read_that_began_within_the_hold_disproves_nothing(harness: WriterHarness) -> None:
    """A slow read that ends after the hold may still show the value from before the write."""
    write_id = await write_without_answer(harness)
    harness.time.advance(HOLD_S - 1)
    harness.provider.reading = [lambda: asyncio.sleep(3)]

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).is_unsettled


async def test_a_read_from_before_the_write_proves_nothing(harness: WriterHarness) -> None:
    before = harness.time.clock() - timedelta(seconds=1)
    write_id = await write_without_answer(harness)

    harness.reconciler.observe(account(), opening(200), before)
    await harness.reconciler.drain()

    assert get_record(harness, write_id).is_unsettled


async def test_an_ordinary_read_settles_the_write(harness: WriterHarness) -> None:
    write_id = await write_without_answer(harness)
    harness.provider.current = opening(200)

    harness.reconciler.observe(account("acct_a_again"), opening(200), harness.time.clock())
    await harness.reconciler.drain()

    assert get_record(harness, write_id).outcome is WriteOutcome.APPLIED


async def test_a_write_applied_during_the_read_that_proves_stays_the_last_one(
    harness: WriterHarness,
) -> None:
    """The proved write once became the account's recorded value, over the newer write."""
    write_id = await write_without_answer(harness)
    harness.provider.current = opening(200)

    async def write_meanwhile() -> None:
        assert isinstance(await harness.upsert(300), Applied)

    harness.provider.reading = [write_meanwhile]
    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).is_unsettled
    last = await harness.journal.last_applied("remote a")
    assert last is not None
    assert last.applied == opening(300)


async def test_ordinary_reads_ask_the_journal_only_in_doubt(harness: WriterHarness) -> None:
    harness.journal.failing["unsettled"] = AssertionError("the journal was read")

    harness.reconciler.observe(account(), opening(200), harness.time.clock())
    await harness.reconciler.drain()

    assert harness.steps == []


async def test_another_process_knows_the_write_after_its_first_round(
    harness: WriterHarness,
) -> None:
    write_id = await write_without_answer(harness)
    other = harness.build_reconciler()
    await other.settle_all()
    harness.provider.current = opening(200)

    other.observe(account(), opening(200), harness.time.clock())
    await other.drain()

    assert get_record(harness, write_id).outcome is WriteOutcome.APPLIED


@pytest.mark.parametrize(("waits", "superseded"), [(False, False), (True, True)])
async def test_a_later_write_supersedes_only_if_it_began_after_the_hold(
    harness: WriterHarness, *, waits: bool, superseded: bool
) -> None:
    """Within the hold the uncertain write could still take effect after the later one."""
    write_id = await write_without_answer(harness)
    if waits:
        harness.time.advance(HOLD_S)

    await harness.upsert(300)

    record = get_record(harness, write_id)
    assert record.outcome is WriteOutcome.UNCERTAIN
    assert record.is_unsettled is not superseded
    if record.settlement is not None:
        assert record.settlement.how is SettledBy.SUPERSEDED
        assert "write-2" in (record.settlement.note or "")


async def test_a_superseding_write_is_found_after_a_crash(harness: WriterHarness) -> None:
    write_id = await write_without_answer(harness)
    harness.time.advance(HOLD_S)
    harness.journal.failing["settle"] = OSError("disk")
    await harness.upsert(300)
    harness.journal.failing.clear()
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).settlement is not None


async def test_an_account_that_cannot_be_read_stays_unsettled(harness: WriterHarness) -> None:
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}
    write_id = await write_without_answer(harness)
    harness.time.advance(10 * HOLD_S)
    harness.steps.clear()

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).is_unsettled
    assert (harness.steps, harness.counts) == ([], [1])


async def test_a_derived_balance_settles_the_write(harness: WriterHarness) -> None:
    """The day of a derived balance says nothing about the instant that was sent."""
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}
    derivable = account("acct_a", derive_opening_balance_as_of=date(2026, 1, 1))
    harness.directory._by_tenant["acme"].by_id["acct_a"] = derivable
    write_id = await write_without_answer(harness)
    at = datetime(2026, 1, 1, 23, 59, tzinfo=UTC)
    harness.provider.current = opening(200, source=DERIVED, effective_at=at)

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).outcome is WriteOutcome.APPLIED


async def test_an_unclear_write_is_read_back_through_the_derived_balance(
    harness: WriterHarness,
) -> None:
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}
    derivable = account("acct_a", derive_opening_balance_as_of=date(2026, 1, 1))
    harness.directory._by_tenant["acme"].by_id["acct_a"] = derivable
    harness.provider.after = LOST

    result = await harness.upsert(200)

    assert isinstance(result, Applied)
    assert result.verified


async def test_a_changed_instant_is_told_from_the_previous_one(harness: WriterHarness) -> None:
    first, second = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2))
    harness.provider.current = opening(200, effective_at=first)
    write_id = await write_without_answer(harness, effective_at=second)
    harness.time.advance(HOLD_S)

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).outcome is WriteOutcome.REJECTED


async def test_an_instant_that_was_neither_sent_nor_set_decides_nothing(
    harness: WriterHarness,
) -> None:
    first, second, other = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
    harness.provider.current = opening(200, effective_at=first)
    write_id = await write_without_answer(harness, effective_at=second)
    harness.provider.current = opening(200, effective_at=other)
    harness.time.advance(HOLD_S)

    await harness.reconciler.settle_all()

    assert get_record(harness, write_id).is_unsettled


async def test_a_failed_read_or_cache_leaves_the_write_for_the_next_round(
    harness: WriterHarness,
) -> None:
    first = await write_without_answer(harness)
    second = await write_without_answer(harness, account_id="acct_b")
    harness.provider.current = opening(200)
    harness.provider.reading = [ProviderUnavailable("x")]
    harness.fence.failing = CacheUnavailable("down")
    await harness.reconciler.settle_all()
    unsettled = [get_record(harness, one).is_unsettled for one in (first, second)]
    harness.fence.failing = None

    await harness.reconciler.settle_all()

    assert unsettled == [True, True]
    assert not any(get_record(harness, one).is_unsettled for one in (first, second))


async def test_a_write_of_a_removed_account_does_not_stop_the_others(
    harness: WriterHarness,
) -> None:
    gone = await write_without_answer(harness, account_id="acct_b")
    other = await write_without_answer(harness)
    del harness.directory._by_tenant["acme"].by_id["acct_b"]
    harness.provider.current = opening(200)

    await harness.reconciler.settle_all()

    assert get_record(harness, gone).is_unsettled
    assert not get_record(harness, other).is_unsettled


@pytest.mark.parametrize(
    ("applied", "outcome"), [(True, WriteOutcome.APPLIED), (False, WriteOutcome.REJECTED)]
)
async def test_a_person_settles_a_write(
    harness: WriterHarness, *, applied: bool, outcome: WriteOutcome
) -> None:
    write_id = await write_without_answer(harness)

    settled = await harness.reconciler.settle_by_hand(
        ADMIN, write_id, applied=applied, note="Seen at the bank."
    )

    assert settled == get_record(harness, write_id)
    assert settled.outcome is outcome
    assert settled.settlement is not None
    assert (settled.settlement.principal, settled.settlement.note) == ("admin", "Seen at the bank.")
    assert (settled.applied is not None) is applied
    assert isinstance(await compare(harness), Applied)


@pytest.mark.parametrize("note", ["", "  ", "x" * 1001, "nul \0", "\ud800"])
async def test_a_settlement_needs_a_note_that_can_be_stored(
    harness: WriterHarness, note: str
) -> None:
    write_id = await write_without_answer(harness)

    with pytest.raises(BadInput, match="note"):
        await harness.reconciler.settle_by_hand(ADMIN, write_id, applied=True, note=note)

    assert get_record(harness, write_id).is_unsettled


async def test_a_settled_write_and_one_of_another_tenant_are_refused(
    harness: WriterHarness,
) -> None:
    write_id = await write_without_answer(harness)
    settle = harness.reconciler.settle_by_hand
    with pytest.raises(BadInput) as theirs:
        await settle(THEIR_ADMIN, write_id, applied=True, note="n")
    with pytest.raises(BadInput) as unknown:
        await settle(ADMIN, "unknown", applied=True, note="n")
    with pytest.raises(Forbidden):
        await settle(READER, write_id, applied=True, note="n")
    await settle(ADMIN, write_id, applied=True, note="n")

    with pytest.raises(BadInput, match="settled already"):
        await settle(ADMIN, write_id, applied=False, note="n")

    assert theirs.value.message == unknown.value.message
    assert get_record(harness, write_id).outcome is WriteOutcome.APPLIED


async def test_a_write_in_progress_cannot_be_settled(harness: WriterHarness) -> None:
    intent = replace_intent(harness)
    harness.journal.records[intent.id] = WriteRecord(intent, WriteOutcome.STARTED)

    with pytest.raises(WriteUnsettled):
        await harness.reconciler.settle_by_hand(ADMIN, intent.id, applied=True, note="n")


def replace_intent(harness: WriterHarness) -> WriteIntent:
    return WriteIntent(
        id="started",
        tenant="acme",
        account_id="acct_a",
        remote_account="remote a",
        connector="main",
        principal="admin",
        amount=Money(200, "EUR"),
        effective_at=None,
        memo=None,
        reference_number=None,
        idempotency_key=None,
        fingerprint="f",
        previous=None,
        started_at=harness.time.clock(),
    )


async def test_the_unsettled_write_of_another_tenant_is_shown_without_its_values(
    harness: WriterHarness,
) -> None:
    write_id = await write_without_answer(harness)
    accounts = [account(), account("acct_a_theirs", tenant="globex"), account("acct_b")]

    found = await harness.reconciler.find_unsettled(accounts)

    assert found.keys() == {"acct_a", "acct_a_theirs"}
    assert found["acct_a"] == get_record(harness, write_id)
    assert isinstance(found["acct_a_theirs"], UnsettledWrite)


async def test_an_answer_with_another_value_says_what_is_set_and_why(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """Layer once recalculated the amount, and the outcome and the audit log said: no response."""
    changed = ProviderBadResponse(
        "balance differs from the sent one", maybe_applied=True, provider_code="RECALCULATED"
    )
    harness.provider.after = changed

    async def recalculate() -> None:
        harness.provider.current = opening(293_739)
        raise changed

    harness.provider.after = recalculate
    with caplog.at_level(logging.WARNING):
        result = await harness.upsert(222_100)

    record = get_record(harness, "write-1")
    assert isinstance(result, Uncertain)
    assert result.found is not None
    assert result.found.value == record.found == opening(293_739)
    assert "2937.39 EUR" in result.message
    assert "2221.00 EUR" in result.message
    assert "RECALCULATED" in result.message
    assert "balance differs" in result.message
    assert (record.error_code, record.provider_code) == ("PROVIDER_BAD_RESPONSE", "RECALCULATED")
    (warning,) = [one for one in caplog.records if one.message == "write.uncertain"]
    assert (warning.write_id, warning.account_id) == ("write-1", "acct_a")  # type: ignore[attr-defined]
    # The times in the record have digits of their own.
    texts = [value for value in vars(warning).values() if isinstance(value, str)]
    assert "2937" not in " ".join(texts)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (TimeoutError(), "PROVIDER_TIMEOUT"),
        (ProviderUnavailable("Lost.", maybe_applied=True), "PROVIDER_UNAVAILABLE"),
        (KeyError("a defect"), "INTERNAL"),
    ],
    ids=repr,
)
async def test_only_a_timeout_is_recorded_as_a_timeout(
    harness: WriterHarness, failure: Any, code: str
) -> None:
    harness.provider.before = failure

    await harness.upsert()

    assert get_record(harness, "write-1").error_code == code


async def test_a_result_has_the_previous_and_the_current_opening_balance(
    harness: WriterHarness,
) -> None:
    applied = await harness.upsert(200)
    refused = await compare(harness, expected=100)

    assert isinstance(applied, Applied)
    assert applied.previous is not None
    assert (applied.previous.value, applied.write_id) == (opening(100), "write-1")
    assert isinstance(refused, Rejected)
    assert refused.current is not None
    assert (refused.current.value, refused.write_id) == (opening(200), None)


async def test_a_recorded_opening_balance_is_never_live(harness: WriterHarness) -> None:
    recorded = replace(opening(200), source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
    harness.provider.reading = [None, lambda: asyncio.sleep(0)]
    harness.provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}

    async def confirm(write: Any) -> Any:
        return recorded

    harness.provider.set_opening_balance = confirm  # type: ignore[method-assign]

    result = await harness.upsert(200)

    assert isinstance(result, Applied)
    assert result.opening_balance.state is FreshnessState.CACHED

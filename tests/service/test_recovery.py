"""Tests recovery after a crash: fences are held and every write gets an outcome."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.errors import CacheUnavailable, ProviderRejected, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.service.directory import Directory
from balance_gateway.service.outcome_recorder import RETRY_TO_S
from balance_gateway.service.recovery import Recovery
from tests.service.fakes import LIMITS, WriterHarness, opening

HOLD_S = 40.0


def add_unfinished_write(
    harness: WriterHarness,
    age_s: float,
    outcome: WriteOutcome = WriteOutcome.STARTED,
    **changes: Any,
) -> WriteRecord:
    """Add a write of 200 that an earlier process started ``age_s`` ago over a value of 100."""
    facts: dict[str, Any] = {
        "id": f"write-{len(harness.journal.records)}",
        "tenant": "acme",
        "account_id": "acct_a",
        "remote_account": "remote a",
        "connector": "main",
        "principal": "admin",
        "amount": Money(200, "EUR"),
        "effective_at": None,
        "memo": None,
        "reference_number": None,
        "idempotency_key": None,
        "fingerprint": "f",
        "previous": opening(100),
        "started_at": harness.time.clock() - timedelta(seconds=age_s),
        **changes,
    }
    record = WriteRecord(WriteIntent(**facts), outcome)
    harness.journal.records[record.intent.id] = record
    return record


@pytest.fixture
def recovery(harness: WriterHarness) -> Recovery:
    return Recovery(
        harness.directory,
        {"main": harness.provider},
        harness.fence,
        harness.journal,
        harness.time.clock,
        LIMITS,
    )


async def test_fences_are_held_while_a_write_may_take_effect(
    harness: WriterHarness, recovery: Recovery
) -> None:
    add_unfinished_write(harness, 10)
    add_unfinished_write(harness, 15, WriteOutcome.UNCERTAIN, account_id="acct_b")
    add_unfinished_write(harness, 41)
    add_unfinished_write(harness, 5, WriteOutcome.APPLIED)
    add_unfinished_write(harness, 5, account_id="no longer configured")

    await recovery.hold_fences(HOLD_S)

    assert harness.fence.holds == [("acct_a", "write-0", 30.0), ("acct_b", "write-1", 25.0)]


async def test_an_unreadable_start_is_logged_and_held_for_the_full_time(
    harness: WriterHarness,
    recovery: Recovery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def unsettled_since(instant: object) -> list[UnsettledWrite]:
        return [
            UnsettledWrite("bad", "acme", "acct_a", None),
            UnsettledWrite("lost", "acme", "no longer configured", None),
            UnsettledWrite("good", "acme", "acct_b", harness.time.clock()),
        ]

    monkeypatch.setattr(harness.journal, "unsettled_since", unsettled_since)

    await recovery.hold_fences(HOLD_S)

    assert harness.fence.holds == [("acct_a", "bad", HOLD_S), ("acct_b", "good", HOLD_S)]
    assert [record.message for record in caplog.records] == ["write.unreadable"] * 2


async def test_an_expired_write_is_not_held(harness: WriterHarness, recovery: Recovery) -> None:
    add_unfinished_write(harness, HOLD_S)

    await recovery.hold_fences(HOLD_S)

    assert harness.fence.holds == []


async def test_holding_fences_reports_an_unavailable_cache(
    harness: WriterHarness, recovery: Recovery
) -> None:
    add_unfinished_write(harness, 10)
    harness.fence.failing = CacheUnavailable("unavailable")

    with pytest.raises(CacheUnavailable):
        await recovery.hold_fences(HOLD_S)


async def test_an_unfinished_write_found_at_the_provider_is_applied(
    harness: WriterHarness, recovery: Recovery
) -> None:
    record = add_unfinished_write(harness, 100)
    harness.provider.current = opening(200)

    await recovery.resolve_unfinished()

    resolved = harness.journal.records[record.intent.id]
    assert resolved.outcome is WriteOutcome.APPLIED
    assert (resolved.applied, resolved.verified) == (opening(200), True)
    assert resolved.finished_at == harness.time.clock()


@pytest.mark.parametrize(
    ("current", "changes"),
    [
        (100, {}),
        (999, {}),
        (200, {"previous": opening(200)}),
        (200, {"account_id": "no longer configured"}),
    ],
)
async def test_an_unfinished_write_without_proof_is_uncertain(
    harness: WriterHarness, recovery: Recovery, current: int, changes: dict[str, Any]
) -> None:
    record = add_unfinished_write(harness, 100, **changes)
    harness.provider.current = opening(current)

    await recovery.resolve_unfinished()

    resolved = harness.journal.records[record.intent.id]
    assert resolved.outcome is WriteOutcome.UNCERTAIN
    assert resolved.error_message


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), KeyError("a defect")])
async def test_a_failed_read_leaves_a_write_uncertain_and_continues(
    harness: WriterHarness, recovery: Recovery, failure: Exception
) -> None:
    add_unfinished_write(harness, 100)
    add_unfinished_write(harness, 90, account_id="acct_b")
    harness.provider.current = opening(200)
    harness.provider.reading = [failure]

    await recovery.resolve_unfinished()

    assert harness.outcomes == ["uncertain", "applied"]


async def test_a_write_is_resolved_only_after_its_lease_expired(
    harness: WriterHarness, recovery: Recovery
) -> None:
    add_unfinished_write(harness, LIMITS.lease_s - 1)

    await recovery.resolve_unfinished()
    before = harness.outcomes
    harness.time.advance(1)
    await recovery.resolve_unfinished()

    assert (before, harness.outcomes) == (["started"], ["uncertain"])
    assert harness.steps == ["read", "finished uncertain"]


async def test_a_write_is_resolved_while_the_process_runs(
    harness: WriterHarness, recovery: Recovery
) -> None:
    """A row without an outcome once stayed so until the next start of a process."""
    task = asyncio.create_task(recovery.run(5.0))
    await asyncio.sleep(100)
    harness.provider.current = opening(200)
    harness.journal.failing["unfinished"] = OSError("out of reach")
    add_unfinished_write(harness, 0)
    await asyncio.sleep(LIMITS.lease_s)
    harness.journal.failing.clear()
    await asyncio.sleep(5.0)
    task.cancel()

    assert harness.outcomes == ["applied"]


async def test_a_write_with_a_known_outcome_is_not_resolved_by_reading(
    harness: WriterHarness, recovery: Recovery
) -> None:
    harness.provider.before = ProviderRejected("no")
    harness.journal.failing["finish"] = OSError("disk full")
    await harness.upsert()
    harness.journal.failing.clear()
    recovery = replace(recovery, keeps_outcome=harness.writer.keeps_outcome)
    harness.provider.current = opening(200)

    await recovery.resolve_unfinished()
    await asyncio.sleep(RETRY_TO_S)

    assert harness.outcomes == ["rejected"]


async def test_a_resolved_write_drops_the_values_cached_before(
    harness: WriterHarness, recovery: Recovery
) -> None:
    """A recorded opening balance was cached for an hour after the hold of the write ended."""
    add_unfinished_write(harness, 100)
    harness.provider.current = opening(200)

    await recovery.resolve_unfinished()

    assert harness.steps == ["read", "fenced", "finished applied", "lowered"]


async def test_recovery_sends_nothing_and_lowers_no_fence(
    harness: WriterHarness, recovery: Recovery
) -> None:
    add_unfinished_write(harness, 100)

    await recovery.resolve_unfinished()

    assert harness.provider.sent == []
    assert "lowered" not in harness.steps


async def test_an_unrecorded_outcome_is_left_for_the_next_start(
    harness: WriterHarness, recovery: Recovery
) -> None:
    add_unfinished_write(harness, 100)
    harness.journal.failing["finish"] = OSError("disk full")
    await recovery.resolve_unfinished()
    before = harness.outcomes
    harness.journal.failing.clear()

    await recovery.resolve_unfinished()

    assert (before, harness.outcomes) == (["started"], ["uncertain"])


async def test_an_account_removed_from_the_configuration_is_not_read(
    harness: WriterHarness,
) -> None:
    add_unfinished_write(harness, 100)
    empty = Directory([], [])
    recovery = Recovery(
        empty,
        {"main": harness.provider},
        harness.fence,
        harness.journal,
        harness.time.clock,
        LIMITS,
    )

    await recovery.hold_fences(1000)
    await recovery.resolve_unfinished()

    assert harness.fence.holds == []
    assert "read" not in harness.steps

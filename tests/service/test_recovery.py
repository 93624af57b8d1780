"""After a crash: fences are held for what may still land, and every write gets its outcome."""

from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.errors import CacheUnavailable, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.service.directory import Directory
from balance_gateway.service.recovery import Recovery
from tests.service.fakes import LIMITS, Desk, opening

HOLD_S = 40.0


def left_behind(
    desk: Desk, age_s: float, outcome: WriteOutcome = WriteOutcome.STARTED, **changes: Any
) -> WriteRecord:
    """A write of 200 that an earlier process began so long ago, when 100 stood."""
    facts: dict[str, Any] = {
        "id": f"left-{len(desk.journal.records)}",
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
        "started_at": desk.time.clock() - timedelta(seconds=age_s),
        **changes,
    }
    record = WriteRecord(WriteIntent(**facts), outcome)
    desk.journal.records[record.intent.id] = record
    return record


@pytest.fixture
def recovery(desk: Desk) -> Recovery:
    return Recovery(
        desk.directory, {"main": desk.bank}, desk.fence, desk.journal, desk.time.clock, LIMITS
    )


async def test_fences_are_held_for_as_long_as_a_write_may_still_land(
    desk: Desk, recovery: Recovery
) -> None:
    left_behind(desk, 10)
    left_behind(desk, 15, WriteOutcome.UNCERTAIN, account_id="acct_b")
    left_behind(desk, 41)
    left_behind(desk, 5, WriteOutcome.APPLIED)
    left_behind(desk, 5, account_id="no longer configured")

    await recovery.hold_fences(HOLD_S)

    assert desk.fence.holds == [("acct_a", "left-0", 30.0), ("acct_b", "left-1", 25.0)]


async def test_a_write_whose_start_cannot_be_read_is_held_for_the_longest_time_and_said(
    desk: Desk,
    recovery: Recovery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def unsettled_since(instant: object) -> list[UnsettledWrite]:
        return [
            UnsettledWrite("bad", "acme", "acct_a", None),
            UnsettledWrite("lost", "acme", "no longer configured", None),
            UnsettledWrite("good", "acme", "acct_b", desk.time.clock()),
        ]

    monkeypatch.setattr(desk.journal, "unsettled_since", unsettled_since)

    await recovery.hold_fences(HOLD_S)

    assert desk.fence.holds == [("acct_a", "bad", HOLD_S), ("acct_b", "good", HOLD_S)]
    assert [record.message for record in caplog.records] == ["write.unreadable"] * 2


async def test_a_write_that_can_no_longer_land_needs_no_hold(
    desk: Desk, recovery: Recovery
) -> None:
    left_behind(desk, HOLD_S)

    await recovery.hold_fences(HOLD_S)

    assert desk.fence.holds == []


async def test_a_cache_out_of_reach_is_said(desk: Desk, recovery: Recovery) -> None:
    left_behind(desk, 10)
    desk.fence.failing = CacheUnavailable("out of reach")

    with pytest.raises(CacheUnavailable):
        await recovery.hold_fences(HOLD_S)


async def test_an_unfinished_write_that_is_found_is_applied(desk: Desk, recovery: Recovery) -> None:
    record = left_behind(desk, 100)
    desk.bank.standing = opening(200)

    await recovery.resolve_unfinished()

    settled = desk.journal.records[record.intent.id]
    assert settled.outcome is WriteOutcome.APPLIED
    assert (settled.applied, settled.verified) == (opening(200), True)
    assert settled.finished_at == desk.time.clock()


@pytest.mark.parametrize(
    ("standing", "changes"),
    [
        (100, {}),
        (999, {}),
        (200, {"previous": opening(200)}),
        (200, {"account_id": "no longer configured"}),
    ],
)
async def test_an_unfinished_write_that_is_not_shown_to_be_there_is_uncertain(
    desk: Desk, recovery: Recovery, standing: int, changes: dict[str, Any]
) -> None:
    record = left_behind(desk, 100, **changes)
    desk.bank.standing = opening(standing)

    await recovery.resolve_unfinished()

    settled = desk.journal.records[record.intent.id]
    assert settled.outcome is WriteOutcome.UNCERTAIN
    assert settled.error_message


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), KeyError("a defect")])
async def test_a_provider_that_cannot_be_read_leaves_it_uncertain_and_the_next_is_resolved(
    desk: Desk, recovery: Recovery, failure: Exception
) -> None:
    left_behind(desk, 100)
    left_behind(desk, 90, account_id="acct_b")
    desk.bank.standing = opening(200)
    desk.bank.reading = [failure]

    await recovery.resolve_unfinished()

    assert desk.outcomes == ["uncertain", "applied"]


async def test_a_write_that_may_belong_to_a_live_process_is_left_until_its_lease_is_over(
    desk: Desk, recovery: Recovery
) -> None:
    left_behind(desk, 10)
    started_s = desk.time.monotonic()

    await recovery.resolve_unfinished()

    assert desk.time.monotonic() - started_s == pytest.approx(LIMITS.lease_s - 10)
    assert desk.outcomes == ["uncertain"]


async def test_recovery_sends_nothing_and_lowers_no_fence(desk: Desk, recovery: Recovery) -> None:
    left_behind(desk, 100)

    await recovery.resolve_unfinished()

    assert desk.bank.sent == []
    assert "lowered" not in desk.steps


async def test_an_outcome_that_cannot_be_recorded_is_left_to_the_next_start(
    desk: Desk, recovery: Recovery
) -> None:
    left_behind(desk, 100)
    desk.journal.failing["finish"] = OSError("disk full")
    await recovery.resolve_unfinished()
    before = desk.outcomes
    desk.journal.failing.clear()

    await recovery.resolve_unfinished()

    assert (before, desk.outcomes) == (["started"], ["uncertain"])


async def test_without_a_directory_entry_nothing_is_asked_of_anybody(desk: Desk) -> None:
    left_behind(desk, 100)
    empty = Directory([], [])
    recovery = Recovery(
        empty, {"main": desk.bank}, desk.fence, desk.journal, desk.time.clock, LIMITS
    )

    await recovery.hold_fences(1000)
    await recovery.resolve_unfinished()

    assert desk.fence.holds == []
    assert "read" not in desk.steps

"""An outcome that the journal does not take is recorded again and again."""

import asyncio
from typing import Any

import pytest

from balance_gateway.domain.errors import ProviderRejected, ProviderTimeout
from balance_gateway.domain.writes import WriteIntent, WriteRecord
from balance_gateway.ports.write_journal import JournalUnavailable
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain
from balance_gateway.service.outcome_recorder import ATTEMPT_S, RETRY_TO_S
from tests.service.fakes import LIMITS, WriterHarness, opening

DOWN = OSError("disk full")
ANSWERS = pytest.mark.parametrize(
    ("answer", "outcome"), [(None, "applied"), (ProviderRejected("no"), "rejected")]
)


async def fail_for(harness: WriterHarness, seconds: float) -> None:
    harness.journal.failing["finish"] = DOWN
    await asyncio.sleep(seconds)
    harness.journal.failing.clear()


@ANSWERS
async def test_an_answer_is_recorded_within_the_lease_for_the_caller(
    harness: WriterHarness, answer: Any, outcome: str
) -> None:
    """One failed update of the journal once made a definite answer uncertain for ever."""
    harness.provider.before = answer
    outage = asyncio.create_task(fail_for(harness, LIMITS.lease_s - RETRY_TO_S - 1))

    result = await harness.upsert()

    assert outage.done()
    assert isinstance(result, Rejected if answer else Applied)
    assert harness.outcomes == [outcome]
    assert harness.fence.raised == 0


@ANSWERS
async def test_an_answer_is_recorded_in_the_background_after_the_lease(
    harness: WriterHarness, answer: Any, outcome: str
) -> None:
    harness.provider.before = answer
    outage = asyncio.create_task(fail_for(harness, 600.0))
    started_s = harness.time.monotonic()

    result = await harness.upsert(idempotency_key="k")
    waited_s = harness.time.monotonic() - started_s
    during = (harness.outcomes, harness.fence.raised)
    await outage
    await asyncio.sleep(RETRY_TO_S)
    again = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Uncertain)
    assert waited_s == pytest.approx(LIMITS.lease_s)
    assert during == (["started"], 1)
    assert (harness.outcomes, harness.fence.raised) == ([outcome], 0)
    assert isinstance(again, Rejected if answer else Applied)
    assert len(harness.provider.sent) == 1


async def test_a_repeat_after_the_lease_is_answered_at_once(harness: WriterHarness) -> None:
    """Each repeat of a write without an outcome once waited for a whole lease."""
    harness.journal.failing["finish"] = DOWN
    await harness.upsert(idempotency_key="k")
    started_s = harness.time.monotonic()

    result = await harness.upsert(idempotency_key="k")

    assert isinstance(result, Uncertain)
    assert result.write_id == "write-1"
    assert harness.time.monotonic() == started_s
    assert len(harness.provider.sent) == 1


async def test_an_attempt_that_hangs_is_given_up_for_another(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused server answers nothing, and a connection may be lost without a sign."""
    finish, hanging = harness.journal.finish, [True]

    async def hang_once(record: WriteRecord) -> None:
        if hanging:
            hanging.clear()
            await asyncio.sleep(1e6)
        await finish(record)

    monkeypatch.setattr(harness.journal, "finish", hang_once)
    started_s = harness.time.monotonic()

    result = await harness.upsert()

    assert isinstance(result, Applied)
    assert ATTEMPT_S < harness.time.monotonic() - started_s < LIMITS.lease_s


async def test_a_late_record_drops_the_values_cached_meanwhile(harness: WriterHarness) -> None:
    """The fence of the write may have expired before its outcome is recorded."""
    outage = asyncio.create_task(fail_for(harness, 600.0))
    await harness.upsert()
    before = len(harness.steps)
    await outage
    await asyncio.sleep(RETRY_TO_S)

    recorded = harness.steps.index("finished applied")
    assert harness.steps[recorded - 1 : recorded + 2] == ["fenced", "finished applied", "lowered"]
    assert recorded >= before


async def test_a_start_that_failed_after_its_commit_blocks_no_further_write(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was in doubt after its lease, although nothing had been sent."""
    begin = harness.journal.begin

    async def begin_without_answer(intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        await begin(intent, lease_s=lease_s)
        raise OSError("connection lost")

    monkeypatch.setattr(harness.journal, "begin", begin_without_answer)
    lost = await harness.upsert(idempotency_key="k")
    monkeypatch.undo()
    again = await harness.upsert(300, idempotency_key="k2")
    repeated = await harness.upsert(idempotency_key="k")

    assert isinstance(lost, Rejected)
    assert isinstance(again, Applied)
    assert isinstance(repeated, Applied)
    assert not repeated.replayed
    assert harness.outcomes == ["rejected", "applied", "applied"]


async def test_an_uncertain_outcome_is_recorded_too(harness: WriterHarness) -> None:
    harness.provider.before = ProviderTimeout("late", maybe_applied=True)
    outage = asyncio.create_task(fail_for(harness, 600.0))
    result = await harness.upsert()
    await outage
    await asyncio.sleep(RETRY_TO_S)

    assert isinstance(result, Uncertain)
    assert harness.outcomes == ["uncertain"]
    assert harness.fence.raised == 1


async def test_a_stopping_process_names_the_outcomes_it_cannot_record(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.journal.failing["finish"] = JournalUnavailable("down")
    await harness.upsert()

    await harness.writer.drain()

    lost = [record for record in caplog.records if record.message == "write.outcome_lost"]
    assert [record.__dict__["write_id"] for record in lost] == ["write-1"]
    assert harness.provider.current == opening(200)

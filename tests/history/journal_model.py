"""A model of the write journal: the behaviour of ``SqlWriteJournal``, in memory.

All replicas share it. ``test_models.py`` runs the same random calls against both.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.writes import (
    SettledBy,
    UnsettledWrite,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.write_journal import AccountBusy, WriteNotBegun

_FINAL = (WriteOutcome.APPLIED, WriteOutcome.REJECTED)
_UNSETTLED = (WriteOutcome.STARTED, WriteOutcome.UNCERTAIN)


class JournalModel:
    """The records of all writes; every method is one transaction, as the port describes it."""

    def __init__(self) -> None:
        self._records: dict[str, WriteRecord] = {}
        self._freed: set[str] = set()
        self._finished_in: dict[str, int] = {}
        self._count = 0

    def begin(self, intent: WriteIntent, lease_s: float, now: datetime) -> WriteRecord:
        """See ``WriteJournal``."""
        existing = self.by_key(intent.tenant, intent.idempotency_key)
        if existing is not None:
            return existing
        for record in list(self._records.values()):
            same = record.intent.remote_account == intent.remote_account
            if not same or record.outcome is not WriteOutcome.STARTED:
                continue
            if now - record.intent.started_at < timedelta(seconds=lease_s):
                raise AccountBusy(intent.account_id)
            self._store(_expire_record(record, now))
        record = WriteRecord(intent, WriteOutcome.STARTED)
        self._records[intent.id] = record
        return record

    def finish(self, record: WriteRecord, now: datetime) -> None:
        """See ``WriteJournal``."""
        if record.intent.id not in self._records:
            raise WriteNotBegun
        stored = self._records[record.intent.id]
        finished = replace(record, intent=stored.intent, finished_at=record.finished_at or now)
        settled = replace(finished, settlement=stored.settlement, found=stored.found)
        if replace(settled, finished_at=stored.finished_at) == stored:
            return
        if stored.outcome not in _FINAL and stored.settlement is None:
            finished_in = self._finished_in.get(record.intent.id)
            self._store(finished)
            if finished_in is not None:
                self._finished_in[record.intent.id] = finished_in

    def by_key(self, tenant: str, key: str | None) -> WriteRecord | None:
        """See ``WriteJournal``."""
        for record in self._records.values():
            intent = record.intent
            if (
                key is not None
                and (intent.tenant, intent.idempotency_key) == (tenant, key)
                and intent.id not in self._freed
            ):
                return record
        return None

    def last_applied(self, remote_account: str) -> WriteRecord | None:
        """See ``WriteJournal``."""
        applied = [
            record
            for record in self._records.values()
            if record.intent.remote_account == remote_account
            and record.outcome is WriteOutcome.APPLIED
        ]
        return max(applied, key=lambda one: self._finished_in[one.intent.id], default=None)

    def unfinished(self) -> Sequence[WriteRecord]:
        """See ``WriteJournal``."""
        return self._sorted(WriteOutcome.STARTED)

    def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        """See ``WriteJournal``."""
        intents = [record.intent for record in self._sorted(*_UNSETTLED)]
        return [
            UnsettledWrite(one.id, one.tenant, one.account_id, one.started_at)
            for one in intents
            if one.started_at >= instant
        ]

    def unsettled_of(self, remote_accounts: Collection[str]) -> Sequence[WriteRecord]:
        """See ``WriteSettlements``."""
        return [one for one in self.unsettled() if one.intent.remote_account in remote_accounts]

    def unsettled(self) -> Sequence[WriteRecord]:
        """See ``WriteSettlements``."""
        return [one for one in self._sorted(WriteOutcome.UNCERTAIN) if one.is_unsettled]

    def settled(self) -> Sequence[WriteRecord]:
        """Return the writes with a settlement."""
        return [record for record in self._records.values() if record.settlement is not None]

    def settle(self, record: WriteRecord, last: WriteRecord | None) -> bool:
        """See ``WriteSettlements``."""
        stored = self._records.get(record.intent.id)
        if stored is None or not stored.is_unsettled:
            return False
        newest = self.last_applied(stored.intent.remote_account)
        if (newest and newest.intent.id) != (last and last.intent.id):
            return False
        finished_in = self._finished_in[record.intent.id]
        self._store(record)
        if record.settlement is not None and record.settlement.how is SettledBy.SUPERSEDED:
            self._finished_in[record.intent.id] = finished_in
        return True

    def _sorted(self, *outcomes: WriteOutcome) -> list[WriteRecord]:
        records = [record for record in self._records.values() if record.outcome in outcomes]
        return sorted(records, key=lambda one: (one.intent.started_at, one.intent.id))

    def _store(self, record: WriteRecord) -> None:
        self._count += 1
        self._records[record.intent.id] = record
        self._finished_in[record.intent.id] = self._count
        if record.outcome is WriteOutcome.REJECTED and record.error_retryable:
            self._freed.add(record.intent.id)


def _expire_record(started: WriteRecord, now: datetime) -> WriteRecord:
    return replace(
        started,
        outcome=WriteOutcome.UNCERTAIN,
        finished_at=now,
        error_code=ErrorCode.INTERNAL,
        error_message="The write was started and never finished; it may have been applied.",
    )

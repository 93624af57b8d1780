"""Converts the journal's records to rows of the table ``writes`` and back."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    UnsettledWrite,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.storage.journal_format import (
    opening_balance_from_text,
    opening_balance_to_text,
    parse_enum,
    reading_row,
)


def row_from_record(record: WriteRecord) -> dict[str, Any]:
    """Return the columns of a new row."""
    intent = record.intent
    return {
        "id": intent.id,
        "tenant": intent.tenant,
        "account_id": intent.account_id,
        "remote_account": intent.remote_account,
        "connector": intent.connector,
        "principal": intent.principal,
        "minor_units": intent.amount.minor_units,
        "currency": intent.amount.currency,
        "effective_at": intent.effective_at,
        "memo": intent.memo,
        "reference_number": intent.reference_number,
        "idempotency_key": intent.idempotency_key,
        "fingerprint": intent.fingerprint,
        "previous": opening_balance_to_text(intent.previous),
        "started_at": intent.started_at,
        **outcome_columns(record),
    }


def outcome_columns(record: WriteRecord) -> dict[str, Any]:
    """Return the columns that an outcome changes, except ``finished_in``."""
    settlement = record.settlement
    return {
        "outcome": record.outcome.value,
        "finished_at": record.finished_at,
        "applied": opening_balance_to_text(record.applied),
        "verified": record.verified,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "error_retryable": record.error_retryable,
        "error_field": record.error_field,
        "found": opening_balance_to_text(record.found),
        "provider_code": record.provider_code,
        "settled_how": None if settlement is None else settlement.how.value,
        "settled_at": None if settlement is None else settlement.at,
        "settled_by": None if settlement is None else settlement.principal,
        "settlement_note": None if settlement is None else settlement.note,
    }


def record_from_row(row: Row[Any]) -> WriteRecord:
    """Convert a row to a record.

    Raises:
        UnreadableRow: the row is damaged, or a newer release wrote it.
    """
    with reading_row(f"row {row.id} of writes"):
        return _read_record(row)


def _read_record(row: Row[Any]) -> WriteRecord:
    intent = WriteIntent(
        id=row.id,
        tenant=row.tenant,
        account_id=row.account_id,
        remote_account=row.remote_account,
        connector=row.connector,
        principal=row.principal,
        amount=Money(row.minor_units, row.currency),
        effective_at=row.effective_at,
        memo=row.memo,
        reference_number=row.reference_number,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        previous=opening_balance_from_text(row.previous),
        started_at=row.started_at,
    )
    return WriteRecord(
        intent=intent,
        outcome=parse_enum(WriteOutcome, row.outcome),
        finished_at=row.finished_at,
        applied=opening_balance_from_text(row.applied),
        verified=row.verified,
        error_code=row.error_code,
        error_message=row.error_message,
        error_retryable=row.error_retryable,
        error_field=row.error_field,
        found=opening_balance_from_text(row.found),
        provider_code=row.provider_code,
        settlement=_read_settlement(row),
    )


def _read_settlement(row: Row[Any]) -> Settlement | None:
    if row.settled_how is None:
        return None
    how = parse_enum(SettledBy, row.settled_how)
    return Settlement(how, row.settled_at, row.settled_by, row.settlement_note)


def unsettled_from_row(row: Row[Any]) -> UnsettledWrite:
    """Convert a row of the columns that ``UnsettledWrite`` has; ``started_at`` is text."""
    try:
        started_at = datetime.fromisoformat(row.started_at)
    except (ValueError, TypeError):
        started_at = None
    if started_at is not None and started_at.tzinfo is None:
        started_at = None
    return UnsettledWrite(row.id, row.tenant, row.account_id, started_at)

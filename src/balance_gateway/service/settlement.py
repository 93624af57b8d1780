"""Decides what a read of the opening balance says about an uncertain write."""

from dataclasses import replace
from datetime import datetime, timedelta

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import WriteNotApplied
from balance_gateway.domain.writes import SettledBy, Settlement, WriteOutcome, WriteRecord
from balance_gateway.ports.providers import BalanceProvider

NOT_APPLIED = (
    "The provider does not have this opening balance, and the write can no longer take effect."
    " To set it, write again with a new idempotencyKey."
)
NOT_APPLIED_BY_HAND = (
    "The write was settled as not applied. To set the opening balance, write again with a new"
    " idempotencyKey."
)


def can_be_read(account: Account, provider: BalanceProvider) -> bool:
    """Return whether the provider can show the opening balance: by reading or by deriving it."""
    return (
        Capability.READ_OPENING_BALANCE in provider.capabilities
        or account.derive_opening_balance_as_of is not None
    )


def settle_by_read(
    record: WriteRecord,
    found: OpeningBalance | None,
    *,
    began_at: datetime,
    hold_ends_at: datetime,
    now: datetime,
) -> WriteRecord | None:
    """Settle an unsettled write by what a read from the provider showed.

    Args:
        record: the write.
        found: the opening balance that was read; None when none is set.
        began_at: when the read began.
        hold_ends_at: from when on the write can no longer take effect.
        now: when the settlement is recorded.

    Returns:
        The record with its outcome and settlement; None when the read decides nothing.
    """
    intent = record.intent
    # A read from before the write may show the same amount as an earlier value.
    if began_at < intent.started_at:
        return None
    is_final = began_at >= hold_ends_at
    if found is not None and has_value_of(found, record):
        # The value from before the write proves nothing while the write may still take effect.
        is_new = intent.previous is None or not has_value_of(intent.previous, record)
        if is_new or is_final:
            return as_applied(record, found, Settlement(SettledBy.PROVED, now), verified=True)
        return None
    if not is_final or (found is not None and _may_be_another_date_of(found, record)):
        return None
    return as_not_applied(record, Settlement(SettledBy.DISPROVED, now), NOT_APPLIED)


def has_value_of(found: OpeningBalance, record: WriteRecord) -> bool:
    """Return whether an opening balance has the amount of a write, and its instant if known."""
    intent = record.intent
    if found.amount != intent.amount:
        return False
    at, sent_at = found.effective_at, intent.effective_at
    # The instant of a derived balance is the day it was derived from.
    if found.source is OpeningBalanceSource.DERIVED or at is None or sent_at is None:
        return True
    # Providers store instants with an unknown precision.
    return abs(at - sent_at) < timedelta(seconds=1)


def _may_be_another_date_of(found: OpeningBalance, record: WriteRecord) -> bool:
    """Return whether the provider may have stored the write under another instant."""
    return found.amount == record.intent.amount and found != record.intent.previous


def as_applied(
    record: WriteRecord, applied: OpeningBalance, settlement: Settlement, *, verified: bool
) -> WriteRecord:
    """Return the record of a write that was settled as applied."""
    return replace(
        record,
        outcome=WriteOutcome.APPLIED,
        finished_at=settlement.at,
        applied=applied,
        verified=verified,
        error_code=None,
        error_message=None,
        error_retryable=False,
        error_field=None,
        settlement=settlement,
    )


def as_not_applied(record: WriteRecord, settlement: Settlement, message: str) -> WriteRecord:
    """Return the record of a write that was settled as not applied."""
    return replace(
        record,
        outcome=WriteOutcome.REJECTED,
        finished_at=settlement.at,
        error_code=WriteNotApplied.code.value,
        error_message=message,
        # The key is not released: repeating an old write could undo a newer one.
        error_retryable=False,
        error_field=None,
        settlement=settlement,
    )


def as_superseded(record: WriteRecord, by: WriteRecord, now: datetime) -> WriteRecord:
    """Return the record of a write that a later one superseded."""
    note = f"Superseded by write {by.intent.id}."
    return replace(record, settlement=Settlement(SettledBy.SUPERSEDED, now, note=note))

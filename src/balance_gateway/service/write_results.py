"""Builds the results of writes from their records, and logs uncertain ones."""

import logging
from datetime import datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.reads import FreshnessState, Observed
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain, UpsertResult
from balance_gateway.service.read_back import UNCERTAIN

logger = logging.getLogger(__name__)


def build_result(account: Account, record: WriteRecord, *, replayed: bool) -> UpsertResult:
    """Build the result of a recorded write.

    Args:
        account: the account of the write.
        record: the write with its outcome.
        replayed: whether an earlier request made the write; its values are not read just now.
    """
    intent = record.intent
    finished_at = record.finished_at or intent.started_at
    state = FreshnessState.CACHED if replayed else FreshnessState.LIVE
    previous = _observe(intent.previous, intent.started_at, FreshnessState.CACHED)
    found = _observe(record.found, finished_at, state)
    if record.outcome is WriteOutcome.APPLIED:
        assert record.applied is not None
        applied = observe_opening_balance(record.applied, finished_at, state)
        return Applied(
            account,
            applied,
            record.verified,
            replayed,
            intent.id,
            previous,
            _describe_applied(record),
        )
    if record.outcome is WriteOutcome.REJECTED:
        return Rejected(
            parse_code(record.error_code),
            record.error_message or "The write was rejected.",
            record.error_retryable,
            record.error_field,
            account,
            intent.id,
            # What was set when an earlier request was rejected is not what is set now.
            None if replayed else found or previous,
        )
    return Uncertain(account, intent.id, record.error_message or UNCERTAIN, found)


def build_rejection(
    error: GatewayError,
    account: Account | None,
    current: Observed[OpeningBalance] | None = None,
) -> Rejected:
    """Build the result of a write that was not recorded."""
    return Rejected(
        error.code,
        error.message,
        error.retryable,
        error.field,
        account,
        current=current,
        retry_after_s=error.retry_after_s,
    )


def _describe_applied(record: WriteRecord) -> str:
    assert record.applied is not None
    read, sent = record.applied.amount, record.intent.amount
    if record.verified:
        return "The opening balance was set and read back."
    if read != sent:
        return (
            f"The provider confirmed {sent.amount} {sent.currency}, and reading back showed"
            f" {read.amount} {read.currency}: the provider or another writer has changed it."
        )
    return "The provider confirmed the opening balance; it was not read back."


def _observe(
    value: OpeningBalance | None, observed_at: datetime, state: FreshnessState
) -> Observed[OpeningBalance] | None:
    return None if value is None else observe_opening_balance(value, observed_at, state)


def observe_opening_balance(
    value: OpeningBalance, observed_at: datetime, state: FreshnessState
) -> Observed[OpeningBalance]:
    """Return an opening balance with its freshness; a recorded one is never LIVE."""
    if value.source is OpeningBalanceSource.RECORDED_BY_GATEWAY:
        return Observed(value, value.recorded_at or observed_at, FreshnessState.CACHED)
    return Observed(value, observed_at, state)


def parse_code(text: str | None) -> ErrorCode:
    """Return the code in a journal record; INTERNAL if the record has none of today's codes."""
    try:
        return ErrorCode(text or "")
    except ValueError:
        return ErrorCode.INTERNAL


def log_uncertain(record: WriteRecord) -> None:
    """Log a write with an unknown outcome; without its amount."""
    intent = record.intent
    facts = {"write_id": intent.id, "account_id": intent.account_id, "connector": intent.connector}
    logger.warning("write.uncertain", extra={**facts, "code": record.error_code})

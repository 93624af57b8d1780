"""Decides what a read of an account's opening balance means for the row of a plan."""

from dataclasses import replace
from datetime import datetime, timedelta

from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import ErrorCode, GatewayError, SideUnknown, Unsupported
from balance_gateway.domain.opening_balance_plans import PlanRow, PreviousState
from balance_gateway.ports.reads import FreshnessState, Observed


def find_failure(
    result: Observed[OpeningBalance | None] | GatewayError,
) -> tuple[ErrorCode, str, bool, float | None] | None:
    """Return why a read shows nothing that can be relied on.

    Returns:
        The code, the message, whether a later read can succeed, and the seconds until then if
        known; None when the read succeeded, or the provider can never be read.
    """
    if isinstance(result, GatewayError):
        if is_unreadable(result):
            return None
        return result.code, result.message, result.retryable, result.retry_after_s
    if result.state is FreshnessState.STALE:
        reason = result.stale_reason or "The provider could not be asked."
        return ErrorCode.TOO_STALE, f"Only an older value is known. {reason}", True, None
    return None


def is_unreadable(error: GatewayError) -> bool:
    """Return whether an error says that the provider cannot return opening balances."""
    return isinstance(error, Unsupported) and not isinstance(error, SideUnknown)


def can_be_compared(row: PlanRow) -> bool:
    """Return whether the provider itself shows if the opening balance of a row has changed."""
    if row.previous is None:
        return row.previous_state is PreviousState.NONE
    return row.previous.source is not OpeningBalanceSource.RECORDED_BY_GATEWAY


def with_previous(
    row: PlanRow, result: Observed[OpeningBalance | None] | GatewayError, now: datetime
) -> PlanRow:
    """Return a row with what a read showed."""
    failure = find_failure(result)
    if failure is not None:
        code, message, retryable, _ = failure
        return replace(
            row,
            previous_state=PreviousState.FAILED,
            previous_at=now,
            code=code.value,
            message=message,
            retryable=retryable,
        )
    if isinstance(result, GatewayError):
        return replace(row, previous_state=PreviousState.UNREADABLE, previous_at=now)
    value = result.value
    return replace(
        row,
        previous_state=PreviousState.NONE if value is None else PreviousState.VALUE,
        previous=value,
        previous_at=result.observed_at,
        is_unchanged=has_values_of(value, row),
    )


def has_values_of(value: OpeningBalance | None, row: PlanRow) -> bool:
    """Return whether an opening balance certainly has all values of a row."""
    if value is None or value.amount != row.amount:
        return False
    if row.effective_at is not None:
        at = value.effective_at
        # The instant of a derived balance is the day it was derived from.
        if at is None or value.source is OpeningBalanceSource.DERIVED:
            return False
        # Providers store instants with an unknown precision.
        if abs(at - row.effective_at) >= timedelta(seconds=1):
            return False
    if row.memo is not None and row.memo != value.memo:
        return False
    return row.reference_number is None or row.reference_number == value.reference_number

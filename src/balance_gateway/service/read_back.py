"""Reads the opening balance at the provider before and after a write."""

import asyncio
import logging
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderTimeout,
    SideUnknown,
    Unsupported,
)
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.service.opening_balances import ExpectedUnreadable
from balance_gateway.service.settlement import can_be_read, has_value_of
from balance_gateway.service.upsert_plan import UpsertPlan, check_expectation

logger = logging.getLogger(__name__)

UNCERTAIN = (
    "The provider may or may not have applied the opening balance; the write was not sent again."
    " Check the opening balance at the provider before you repeat the write."
)


async def read_previous(plan: UpsertPlan, timeout_s: float) -> OpeningBalance | None:
    """Read the opening balance before the write, for the audit log and for the comparison.

    Returns:
        The opening balance; None when none is set, or when it cannot be read and the caller
        expects nothing or exactly that.

    Raises:
        BadInput: the opening balance is not the one that the caller expects.
        Unsupported: the caller expects one, and the provider cannot be read.
        GatewayError: the caller expects one, and reading it failed.
    """
    expected = plan.expected_previous
    try:
        async with asyncio.timeout(timeout_s):
            previous = await plan.provider.opening_balance(plan.account)
    except (GatewayError, TimeoutError) as error:
        if expected is None:
            return None
        if isinstance(error, Unsupported) and not isinstance(error, SideUnknown):
            if isinstance(expected, ExpectedUnreadable):
                return None
            raise Unsupported(
                "This provider cannot return the current opening balance, so expectedPrevious"
                " cannot be checked; leave it out.",
                field="expectedPrevious",
            ) from error
        if isinstance(error, TimeoutError):
            message = "The provider did not return the current opening balance in time."
            raise ProviderTimeout(message) from error
        raise
    if expected is not None:
        check_expectation(expected, previous, plan.account.currency)
    return previous


async def read_back(
    account: Account, provider: BalanceProvider, timeout_s: float
) -> OpeningBalance | None:
    """Read the opening balance after a write; None when none is set or it cannot be read."""
    if Capability.READ_OPENING_BALANCE not in provider.capabilities:
        return None
    return await _read_quietly(account, provider, timeout_s)


async def _read_quietly(
    account: Account, provider: BalanceProvider, timeout_s: float
) -> OpeningBalance | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await provider.opening_balance(account)
    except (GatewayError, TimeoutError):
        return None
    except Exception:
        # The write has been sent: a defect in reading back must not hide its outcome.
        logger.exception("provider.defect", extra={"connector": provider.connector})
        return None


async def resolve_by_reading(
    account: Account,
    source: BalanceProvider,
    record: WriteRecord,
    error: GatewayError,
    timeout_s: float,
) -> WriteRecord:
    """Decide the outcome of a write without a definite response by reading the provider.

    The caller must not lower the fence because of the result. The write may still take effect
    later, even when the amount is found: another writer may have set the same amount.

    Args:
        account: the account of the write.
        source: the provider, without the gateway's record in front of it.
        record: the STARTED write.
        error: why the response is not definite.
        timeout_s: limit of the read.

    Returns:
        The record as APPLIED when the value is set now and was not set before, otherwise as
        UNCERTAIN, with the error and what was found.
    """
    found = None
    if can_be_read(account, source):
        found = await _read_quietly(account, source, timeout_s)
    previous = record.intent.previous
    # Another value proves nothing, because the write may still take effect later.
    is_new = previous is None or not has_value_of(previous, record)
    if found is not None and has_value_of(found, record) and is_new:
        return replace(record, outcome=WriteOutcome.APPLIED, applied=found, verified=True)
    return as_uncertain(record, error, found)


def as_uncertain(
    record: WriteRecord, error: GatewayError, found: OpeningBalance | None
) -> WriteRecord:
    """Return the record as UNCERTAIN, with a message that says what is known."""
    uncertain = with_failure(record, error, WriteOutcome.UNCERTAIN)
    parts = [UNCERTAIN, f"The reason: {error.message}"]
    if uncertain.provider_code is not None:
        parts.append(f"The provider's own code: {uncertain.provider_code}.")
    if found is not None:
        parts.append(
            f"Reading back showed {found.amount.amount} {found.amount.currency}; sent was"
            f" {record.intent.amount.amount} {record.intent.amount.currency}."
        )
    return replace(uncertain, error_message=" ".join(parts), error_retryable=False, found=found)


def with_failure(record: WriteRecord, error: GatewayError, outcome: WriteOutcome) -> WriteRecord:
    """Return the record with a REJECTED or UNCERTAIN outcome and its error."""
    return replace(
        record,
        outcome=outcome,
        error_code=error.code.value,
        error_message=error.message,
        error_retryable=error.retryable,
        error_field=error.field,
        provider_code=error.provider_code if isinstance(error, ProviderError) else None,
    )

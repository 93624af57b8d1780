"""Reads the opening balance at the provider before and after a write."""

import asyncio
import logging
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import GatewayError, ProviderTimeout, SideUnknown, Unsupported
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.providers import BalanceProvider
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
        expects nothing.

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
    account: Account, provider: BalanceProvider, record: WriteRecord, timeout_s: float
) -> WriteRecord:
    """Decide the outcome of a write without a definite response by reading the provider.

    The caller must not lower the fence because of the result. The write may still take effect
    later, even when the amount is found: another writer may have set the same amount.

    Returns:
        The record as APPLIED when the amount is set now and was not set before, otherwise as
        UNCERTAIN.
    """
    intent = record.intent
    found = await read_back(account, provider, timeout_s)
    previous = None if intent.previous is None else intent.previous.amount
    # A different amount proves nothing, because the write may still take effect later.
    if found is not None and found.amount == intent.amount and previous != intent.amount:
        return replace(record, outcome=WriteOutcome.APPLIED, applied=found, verified=True)
    return with_failure(record, ProviderTimeout(UNCERTAIN), WriteOutcome.UNCERTAIN)


def with_failure(record: WriteRecord, error: GatewayError, outcome: WriteOutcome) -> WriteRecord:
    """Return the record with a REJECTED or UNCERTAIN outcome and its error."""
    return replace(
        record,
        outcome=outcome,
        error_code=error.code.value,
        error_message=error.message,
        error_retryable=error.retryable,
        error_field=error.field,
    )

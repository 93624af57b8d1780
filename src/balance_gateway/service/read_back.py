"""Looking at the provider: what stands before a write, and what became of one."""

import asyncio
import logging
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import GatewayError, ProviderTimeout, Unsupported
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.service.upsert_plan import UpsertPlan, check_expectation

logger = logging.getLogger(__name__)

UNCERTAIN = (
    "The provider may or may not have taken the opening balance; it was not sent again."
    " Look at the provider before you repeat it."
)


async def read_previous(plan: UpsertPlan, timeout_s: float) -> OpeningBalance | None:
    """What stands before the write, for the audit log and for comparing.

    Raises:
        BadInput: it is not what the caller expects.
        Unsupported: the caller expects something, and nobody can tell what stands.
    """
    expected = plan.expected_previous
    try:
        async with asyncio.timeout(timeout_s):
            previous = await plan.provider.opening_balance(plan.account)
    except (GatewayError, TimeoutError) as error:
        if expected is None:
            return None
        if isinstance(error, Unsupported):
            raise Unsupported(
                "This provider cannot tell what stands, so it cannot be compared;"
                " leave expectedPrevious out.",
                field="expectedPrevious",
            ) from error
        if isinstance(error, TimeoutError):
            raise ProviderTimeout("The provider did not tell what stands in time.") from error
        raise
    if expected is not None:
        check_expectation(expected, previous)
    return previous


async def read_back(
    account: Account, provider: BalanceProvider, timeout_s: float
) -> OpeningBalance | None:
    """What the provider itself says stands now; None when it cannot be asked, or fails."""
    if Capability.READ_OPENING_BALANCE not in provider.capabilities:
        return None
    try:
        async with asyncio.timeout(timeout_s):
            return await provider.opening_balance(account)
    except (GatewayError, TimeoutError):
        return None
    except Exception:
        # The write has been sent: a defect in reading must not hide what is known of it.
        logger.exception("provider.defect", extra={"connector": provider.connector})
        return None


async def resolve_by_reading(
    account: Account, provider: BalanceProvider, record: WriteRecord, timeout_s: float
) -> WriteRecord:
    """APPLIED when reading shows that the amount is there and was not before; else UNCERTAIN.

    That the amount is *not* there proves nothing: the write may still land. So it may when the
    amount *is* there, if somebody else wrote the same: the fence is not to be lowered for this.
    """
    intent = record.intent
    found = await read_back(account, provider, timeout_s)
    was = None if intent.previous is None else intent.previous.amount
    if found is not None and found.amount == intent.amount and was != intent.amount:
        return replace(record, outcome=WriteOutcome.APPLIED, applied=found, verified=True)
    return with_failure(record, ProviderTimeout(UNCERTAIN), WriteOutcome.UNCERTAIN)


def with_failure(record: WriteRecord, error: GatewayError, outcome: WriteOutcome) -> WriteRecord:
    """The record with an outcome other than APPLIED, and why."""
    return replace(
        record,
        outcome=outcome,
        error_code=error.code,
        error_message=error.message,
        error_retryable=error.retryable,
        error_field=error.field,
    )

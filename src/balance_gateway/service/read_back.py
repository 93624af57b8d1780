"""Looking at the provider to learn what became of a write."""

import asyncio
import logging
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import GatewayError, ProviderTimeout
from balance_gateway.domain.ports import BalanceProvider
from balance_gateway.domain.writes import WriteOutcome, WriteRecord

logger = logging.getLogger(__name__)

UNCERTAIN = (
    "The provider may or may not have taken the opening balance; it was not sent again."
    " Look at the provider before you repeat it."
)


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


async def settled_by_reading(
    account: Account, provider: BalanceProvider, record: WriteRecord, timeout_s: float
) -> WriteRecord:
    """APPLIED when reading shows that the write is there and was not before; else UNCERTAIN.

    That the amount is *not* there proves nothing: the write may still land.
    """
    intent = record.intent
    found = await read_back(account, provider, timeout_s)
    was = None if intent.previous is None else intent.previous.amount
    if found is not None and found.amount == intent.amount and was != intent.amount:
        return replace(record, outcome=WriteOutcome.APPLIED, applied=found, verified=True)
    return failed(record, ProviderTimeout(UNCERTAIN), WriteOutcome.UNCERTAIN)


def failed(record: WriteRecord, error: GatewayError, outcome: WriteOutcome) -> WriteRecord:
    """The record with an outcome other than APPLIED, and why."""
    return replace(
        record,
        outcome=outcome,
        error_code=error.code,
        error_message=error.message,
        error_retryable=error.retryable,
        error_field=error.field,
    )

"""Reads the latest bank balances that providers report, from the holder's side."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.errors import ProviderBadResponse
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import Observed, ReadPipeline


@dataclass(frozen=True, slots=True)
class ReportedBalance:
    """The provider's latest bank balance. It belongs to no day.

    Attributes:
        amount: the balance, from the holder's side.
        reported_at: the instant to which it belongs; None when the provider does not return it.
    """

    amount: Money
    reported_at: datetime | None


async def read_reported_balances(
    reads: ReadPipeline, accounts: Sequence[Account]
) -> Sequence[Observed[ReportedBalance | None] | Exception]:
    """Read the latest bank balances.

    Returns:
        One item per account, in order: the balance, observed with its feed; an observed None when
        the provider reports none; or the error, also when the account's normal side is unknown.
    """
    feeds = await reads.bank_feeds(accounts)
    conversions = (
        _convert(reads, account, feed) for account, feed in zip(accounts, feeds, strict=True)
    )
    converted = await asyncio.gather(*conversions, return_exceptions=True)
    # ``gather`` also returns a CancelledError, which is not an Exception.
    return [each if not isinstance(each, BaseException) else _narrow(each) for each in converted]


async def _convert(
    reads: ReadPipeline, account: Account, feed: Observed[BankFeed | None] | Exception
) -> Observed[Any]:
    if isinstance(feed, Exception):
        raise feed
    value = feed.value
    if value is not None and value.latest_problem is not None:
        message = f"The provider's latest bank balance is not usable: {value.latest_problem}."
        provider = account.provider.name
        raise ProviderBadResponse(message, account_id=account.id, provider=provider)
    if value is None or value.latest is None:
        return replace(feed, value=None)
    # Without the normal side the sign is unknown, and a guess could show a debt as money.
    side = account.normal_balance or await reads.normal_balance(account)
    amount = value.latest.to_holder_amount(side, account.currency)
    balance = ReportedBalance(amount, value.latest.reported_at)
    return Observed(balance, feed.observed_at, feed.state, feed.stale_reason)


def _narrow(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else Exception()

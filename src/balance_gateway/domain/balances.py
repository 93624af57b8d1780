"""Defines balances as of a day and opening balances."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.money import Money

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BalanceQuery:
    """A query for the balance of an account at the end of a day.

    Attributes:
        account: the account to read.
        as_of: the day, in the account's time zone.
    """

    account: Account
    as_of: date


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """A provider's balances of one account at the end of one day.

    Attributes:
        as_of: the resolved day.
        bank: the bank balance; None when the provider has none for that day.
        ledger: the ledger balance; None when the provider has none.
    """

    as_of: date
    bank: Money | None
    ledger: Money | None

    @property
    def difference(self) -> Money | None:
        """Bank balance minus ledger balance; None when either is missing.

        Both are from the same provider and the same day, so the difference is meaningful.
        """
        if self.bank is None or self.ledger is None:
            return None
        return self.bank - self.ledger


class OpeningBalanceSource(enum.Enum):
    """The origin of an opening balance."""

    PROVIDER = "provider"
    RECORDED_BY_GATEWAY = "recorded_by_gateway"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag that a provider stores with an opening balance. Instants have a UTC offset."""

    id: str
    key: str
    value: str
    dimension_id: str
    definition_id: str
    dimension_display_name: str | None = None
    value_display_name: str | None = None
    archived_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpeningBalance:
    """The balance with which an account's books start, from the holder's side.

    Attributes:
        amount: the opening balance.
        effective_at: the instant at which the account had this balance; None when the provider
            does not return it.
        source: the origin of the opening balance.
        created_at: when the provider first recorded it; None when it is not returned.
        updated_at: when the provider last changed it; None when it is not returned.
        memo: the provider's free-text note; None without one.
        reference_number: the provider's user-visible identifier; None without one.
        tags: the provider's tags, in the provider's order.
        metadata: the provider's free-form JSON object; None without one.
    """

    amount: Money
    effective_at: datetime | None
    source: OpeningBalanceSource
    created_at: datetime | None = None
    updated_at: datetime | None = None
    memo: str | None = None
    reference_number: str | None = None
    tags: tuple[Tag, ...] = ()
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OpeningBalanceWrite:
    """An opening balance to be set at a provider.

    Attributes:
        account: the account to change.
        amount: the new opening balance, in the account's currency, from the holder's side.
        effective_at: an instant with a UTC offset. Always set for providers that accept a date,
            resolved once before the write is sent; None only for providers that accept none.
        memo: a free-text note; None without one. Only for providers with
            ``Capability.WRITE_MEMO``.
        reference_number: a user-visible identifier; None without one. Only for providers with
            ``Capability.WRITE_MEMO``.
    """

    account: Account
    amount: Money
    effective_at: datetime | None
    memo: str | None = None
    reference_number: str | None = None

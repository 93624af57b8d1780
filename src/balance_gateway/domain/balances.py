"""Balances as of a day, opening balances, and how old what we say about them is."""

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
    """Which account, and the end of which day in the account's time zone."""

    account: Account
    as_of: date


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """What a provider says of one account at the end of one day.

    Attributes:
        as_of: the resolved day.
        bank: the bank's figure; None when the provider has none for that day.
        ledger: the books' figure; None when the provider has none.
    """

    as_of: date
    bank: Money | None
    ledger: Money | None

    @property
    def difference(self) -> Money | None:
        """Bank − ledger. Both are of one provider and one day; None when one is missing."""
        if self.bank is None or self.ledger is None:
            return None
        return self.bank - self.ledger


class OpeningBalanceSource(enum.Enum):
    """Whose word an opening balance is."""

    PROVIDER = "provider"
    RECORDED_BY_GATEWAY = "recorded_by_gateway"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag that a provider keeps with an opening balance. Instants are aware."""

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
    """The balance an account starts its books with, from the holder's side.

    Attributes:
        amount: the opening balance.
        effective_at: the instant at which the account had it; None when the provider does not tell.
        source: whose word it is.
        created_at: when the provider first recorded it; None when it does not tell.
        updated_at: when the provider last changed it; None when it does not tell.
        memo: the provider's note for people; None without one.
        reference_number: the provider's user-visible identifier; None without one.
        tags: the provider's tags, in its order.
        metadata: the provider's free JSON object; None without one.
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
        account: whose.
        amount: in the account's currency, holder's side.
        effective_at: aware instant. For providers that take a date it is always given, resolved
            once before the first attempt; None only for providers that take none.
        memo: a note, None without one; only for providers with ``Capability.WRITE_MEMO``.
        reference_number: likewise.
    """

    account: Account
    amount: Money
    effective_at: datetime | None
    memo: str | None = None
    reference_number: str | None = None

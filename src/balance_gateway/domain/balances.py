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


class MissingReason(enum.Enum):
    """The reason why a balance, or the difference of both, is not known for a day."""

    NO_OPENING_BALANCE = "no_opening_balance"
    BEFORE_OPENING = "before_opening"
    NOT_OFFERED = "not_offered"
    NOT_IN_FILE = "not_in_file"
    OTHER_BASIS = "other_basis"


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """A provider's balances of one account at the end of one day.

    Attributes:
        as_of: the resolved day.
        bank: the bank balance; None when the provider has none for that day.
        ledger: the ledger balance; None when the provider has none.
        bank_missing: why ``bank`` is None; None when there is a bank balance.
        ledger_missing: why ``ledger`` is None; None when there is a ledger balance.
        remote_path: what the figures count at the provider: the ids from the outermost account
            with a balance that includes them to the account itself. Equal paths at one kind of
            provider are the same money, and a longer path is included in its beginning. Empty when
            they overlap with nothing.
    """

    as_of: date
    bank: Money | None
    ledger: Money | None
    bank_missing: MissingReason | None = None
    ledger_missing: MissingReason | None = None
    remote_path: tuple[str, ...] = ()

    @property
    def difference(self) -> Money | None:
        """Bank balance minus ledger balance; None when either is missing.

        Both are from the same provider and the same day, so the difference is meaningful.
        """
        if self.bank is None or self.ledger is None:
            return None
        return self.bank - self.ledger

    @property
    def difference_missing(self) -> MissingReason | None:
        """Why the difference is None; None when it is known."""
        return self.bank_missing or self.ledger_missing


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
        recorded_at: for RECORDED_BY_GATEWAY, when the gateway recorded it; otherwise None.
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
    recorded_at: datetime | None = None


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

"""Balances as of a day, opening balances, and how old what we say about them is."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

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


class FreshnessState(enum.Enum):
    """Where a value comes from: asked for just now, kept and still fresh, or kept and old."""

    LIVE = "live"
    CACHED = "cached"
    STALE = "stale"


@dataclass(slots=True, eq=False, weakref_slot=True)
class Mark:
    """What is handed out of a kept value, or of several of an account, counts while it stands.

    Attributes:
        stands: until one of them is kept anew, or the account's nonce changes.
    """

    stands: bool = True


_NO_MARKS: WeakValueDictionary[str, Mark] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Kept:
    """Under what, and until when, what was answered would be answered again from the cache.

    Attributes:
        mark: of the value; has to stand still.
        account: of all values of the account; has to stand still for several of them together.
        until_s: when the cache has to be asked again, in seconds since 1970: near the value's
            expiry it is read anew.
    """

    mark: Mark
    account: Mark
    until_s: float


@dataclass(slots=True)
class LocalNonces:
    """The nonces and marks of all accounts, where they are one process's alone.

    A nonce tells which values that were kept count at all. A mark tells besides that none of them
    has been replaced: a value that was handed out before must not be handed out after a newer one.
    A mark is there for as long as somebody holds it.

    Attributes:
        by_fence: the nonce of each fence key that has been asked for.
        changes: how often any nonce or mark has; as long as it stands, all stand.
    """

    by_fence: dict[str, str] = field(default_factory=dict)
    changes: int = 0
    _marks: dict[str, WeakValueDictionary[str, Mark]] = field(default_factory=dict)

    def mark(self, fence: str, key: str) -> Mark:
        """The mark that stands now of what a key names: a value, or all values of an account."""
        marks = self._marks.get(fence)
        if marks is None:
            marks = self._marks[fence] = WeakValueDictionary()
        mark = marks.get(key)
        if mark is None:
            mark = marks[key] = Mark()
        return mark

    def renew(self, fence: str, nonce: str) -> None:
        """Another nonce: no mark under it stands any more."""
        self.by_fence[fence] = nonce
        self.changes += 1
        for mark in self._marks.pop(fence, _NO_MARKS).values():
            mark.stands = False

    def replaced(self, fence: str, key: str) -> None:
        """A value has been kept anew: what was handed out before under this key is older."""
        mark = self._marks.get(fence, _NO_MARKS).pop(key, None)
        if mark is not None:
            mark.stands = False
            self.changes += 1


@dataclass(frozen=True, slots=True)
class Observed(Generic[T]):
    """A value, when the provider told it, and in what state it is handed out.

    Attributes:
        value: what was read.
        observed_at: the instant at which the call that read it was *started*, so that an age is
            never understated.
        state: live, cached or stale.
        stale_reason: for STALE, why no newer value could be had, as a short sentence; else None.
        kept: under what it is kept; None where it is not.
    """

    value: T
    observed_at: datetime
    state: FreshnessState
    stale_reason: str | None = None
    kept: Kept | None = field(default=None, compare=False, repr=False)


class OnStale(enum.Enum):
    """What a caller wants when only a stale value can be had."""

    SERVE = "serve"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class BalanceRequest:
    """One balance that a caller asks for.

    Attributes:
        account: whose.
        as_of: the resolved day, in the account's time zone.
        is_today: whether that day is today for the account; today's values live shorter.
        max_age_s: the oldest value taken, in seconds; 0 = go and look; None = as configured.
        on_stale: what to do when only a stale value can be had.
    """

    account: Account
    as_of: date
    is_today: bool
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE

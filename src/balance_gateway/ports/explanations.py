"""Defines how a value that the gateway answers with is explained."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.evidence import Evidence
from balance_gateway.ports.reads import BalanceRequest, Observed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptValue(Generic[T]):
    """A value in the cache.

    Attributes:
        value: the value.
        observed_at: when the call that read it was begun.
        fresh_until: until when it is returned without a further call.
        stale_until: until when it may be returned if its source fails.
    """

    value: T
    observed_at: datetime
    fresh_until: datetime
    stale_until: datetime


@dataclass(frozen=True, slots=True)
class Explained(Generic[T]):
    """What the gateway answers for a value now, and where that comes from.

    Attributes:
        answer: the value, or the error in its place.
        kept: the value in the cache, fresh or not; None without one.
        read: the value that was read for the explanation, or the error of that read.
        evidence: where ``read`` comes from.
    """

    answer: Observed[T] | GatewayError
    kept: KeptValue[T] | None
    read: Observed[T] | GatewayError
    evidence: Evidence


class OverlapKind(enum.Enum):
    """How another account reaches the same money."""

    SAME = "same"
    INCLUDES = "includes"
    INCLUDED = "included"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another account of the tenant with money of the explained one.

    Attributes:
        account: the other account.
        kind: SAME account at the provider; its balance INCLUDES the explained account's, or is
            INCLUDED in it; UNKNOWN if that could not be read.
    """

    account: Account
    kind: OverlapKind


class ReadExplainer(Protocol):
    """Explains values: each call reads from the source once, and stores nothing."""

    async def explain_balance(self, request: BalanceRequest) -> Explained[BalanceFigures]:
        """Explain the balance that a request would get now."""
        ...

    async def explain_opening_balance(self, account: Account) -> Explained[OpeningBalance | None]:
        """Explain the opening balance that would be returned now."""
        ...

    async def find_overlaps(self, request: BalanceRequest) -> Sequence[Overlap]:
        """Return the other accounts of the tenant that reach the account's money, sorted by id."""
        ...

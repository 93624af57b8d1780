"""What can be asked of the one mutation, and what can come of it."""

from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    OpeningBalance,
)
from balance_gateway.ports.reads import (
    Observed,
)


@dataclass(frozen=True, slots=True)
class ExpectedPrevious:
    """What the caller believes to stand now; None as the amount: that none is set."""

    minor_units: int | None


@dataclass(frozen=True, slots=True)
class UpsertRequest:
    """An opening balance as a caller wants it set.

    Attributes:
        account_id: the gateway's account id, as given.
        minor_units: the amount as minor units; None when it was given as text.
        amount_text: the amount as decimal text; None when it was given as minor units.
        currency: the currency the caller gave; has to be the account's.
        effective_at: aware instant; None = now, or the provider's own date where it has one.
        expected_previous: compare and set; None = do not compare.
        idempotency_key: 1 to 255 characters; None = no key.
        memo: a note; None without one.
        reference_number: None without one.
    """

    account_id: str
    minor_units: int | None
    amount_text: str | None
    currency: str
    effective_at: datetime | None = None
    expected_previous: ExpectedPrevious | None = None
    idempotency_key: str | None = None
    memo: str | None = None
    reference_number: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The provider has it.

    Attributes:
        account: whose.
        opening_balance: what stands now.
        verified: whether it was read back from the provider.
        replayed: whether this is the outcome of an earlier request with the same key.
    """

    account: Account
    opening_balance: Observed[OpeningBalance]
    verified: bool
    replayed: bool


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The provider may or may not have it; nobody can tell without looking there."""

    account: Account
    write_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider certainly does not have it."""

    code: str
    message: str
    retryable: bool
    field: str | None


UpsertResult = Applied | Uncertain | Rejected

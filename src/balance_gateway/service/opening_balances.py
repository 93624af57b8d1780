"""Defines the request and the results of setting an opening balance."""

from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.ports.reads import Observed


@dataclass(frozen=True, slots=True)
class ExpectedPrevious:
    """The opening balance that the caller expects before the write.

    Attributes:
        minor_units: the expected amount in the account's currency; None expects none to be set.
    """

    minor_units: int | None


@dataclass(frozen=True, slots=True)
class ExpectedUnreadable:
    """The caller expects that no opening balance can be read before the write.

    The provider cannot return it, and the gateway has recorded none.
    """


@dataclass(frozen=True, slots=True)
class UpsertRequest:
    """A caller's request to set an opening balance.

    Attributes:
        account_id: the account id from the request.
        minor_units: the amount in minor units; None when it was sent as text.
        amount_text: the amount as decimal text; None when it was sent in minor units.
        currency: the currency from the request; it must be the account's currency.
        effective_at: an instant with a UTC offset; None means now, or the provider's own date if
            the provider chooses it.
        expected_previous: the opening balance that must be set before the write; None skips the
            comparison.
        idempotency_key: 1 to 255 characters; None without a key.
        memo: a free-text note; None without one.
        reference_number: a user-visible identifier; None without one.
    """

    account_id: str
    minor_units: int | None
    amount_text: str | None
    currency: str
    effective_at: datetime | None = None
    expected_previous: ExpectedPrevious | ExpectedUnreadable | None = None
    idempotency_key: str | None = None
    memo: str | None = None
    reference_number: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The provider has the opening balance.

    Attributes:
        account: the account.
        opening_balance: the opening balance after the write.
        verified: whether the requested amount was read back.
        replayed: whether this is the outcome of an earlier request with the same key.
        write_id: the id of the write in the journal and in the audit log.
        previous: the opening balance before the write; None when none was set or known.
        message: says how certain it is, and what reading back showed if that differs.
    """

    account: Account
    opening_balance: Observed[OpeningBalance]
    verified: bool
    replayed: bool
    write_id: str
    previous: Observed[OpeningBalance] | None = None
    message: str = "The opening balance was set."


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The provider may or may not have applied the opening balance.

    Attributes:
        account: the account that may have changed.
        write_id: the id of the write in the journal and in the audit log.
        message: says what is known and what to do next.
        found: what reading back showed; None when it was not read, or none was set.
    """

    account: Account
    write_id: str
    message: str
    found: Observed[OpeningBalance] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The opening balance was certainly not applied.

    Attributes:
        code: the stable error code.
        message: the reason and the next step.
        retryable: whether the same request can succeed later unchanged.
        field: the invalid input field; None without one.
        account: the account; None when the caller has none with the requested id.
        write_id: the id of the write; None when nothing was journalled.
        current: the opening balance that is set; None when none is set or known.
        retry_after_s: seconds to wait before a retry; None when unknown.
    """

    code: ErrorCode
    message: str
    retryable: bool
    field: str | None
    account: Account | None = None
    write_id: str | None = None
    current: Observed[OpeningBalance] | None = None
    retry_after_s: float | None = None


UpsertResult = Applied | Uncertain | Rejected

"""Validates a request to set an opening balance and turns it into a plan for the write."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import BadInput, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.service.amount_input import AmountInput, resolve_minor_units
from balance_gateway.service.opening_balances import (
    ExpectedPrevious,
    ExpectedUnreadable,
    UpsertRequest,
)

IDEMPOTENCY_KEY_LENGTH_MAX = 255
NOTE_LENGTH_MAX = 1000


@dataclass(frozen=True, slots=True)
class UpsertPlan:
    """A validated write that the provider supports.

    Attributes:
        principal: the caller.
        account: the account to change.
        provider: the provider of the account.
        amount: the new opening balance, in the account's currency, from the holder's side.
        effective_at: the resolved instant; None when the provider accepts none and the request
            has none.
        expected_previous: the opening balance that must be set before the write; None skips the
            comparison.
        idempotency_key: the caller's key; None without one.
        fingerprint: a hash of the whole request except the key.
        memo: a free-text note; None without one.
        reference_number: a user-visible identifier; None without one.
    """

    principal: Principal
    account: Account
    provider: BalanceProvider
    amount: Money
    effective_at: datetime | None
    expected_previous: ExpectedPrevious | ExpectedUnreadable | None
    idempotency_key: str | None
    fingerprint: str
    memo: str | None
    reference_number: str | None


def plan_upsert(
    principal: Principal,
    request: UpsertRequest,
    account: Account,
    provider: BalanceProvider,
    now: datetime,
) -> UpsertPlan:
    """Validate a request and build the plan of its write.

    Args:
        principal: the caller.
        request: the request.
        account: the account from the request.
        provider: the provider of the account.
        now: the instant that replaces a missing ``effective_at``, for providers that accept one.

    Raises:
        BadInput: a field is invalid; the error names it.
        Unsupported: the provider does not support the write or one of its fields.
    """
    if Capability.WRITE_OPENING_BALANCE not in provider.capabilities:
        raise Unsupported("This provider does not support setting an opening balance.")
    _check_texts(request, provider)
    # Resolved once, before the write is sent.
    effective_at = request.effective_at
    if effective_at is None and Capability.CHOOSE_EFFECTIVE_AT in provider.capabilities:
        effective_at = now
    return UpsertPlan(
        principal=principal,
        account=account,
        provider=provider,
        amount=_parse_amount(request, account),
        effective_at=effective_at,
        expected_previous=request.expected_previous,
        idempotency_key=request.idempotency_key,
        fingerprint=compute_fingerprint(request),
        memo=request.memo,
        reference_number=request.reference_number,
    )


def _parse_amount(request: UpsertRequest, account: Account) -> Money:
    if request.currency != account.currency:
        raise BadInput(
            f"The account's currency is {account.currency}; amounts are not converted.",
            field="amount.currency",
        )
    amount = AmountInput(request.minor_units, request.amount_text, account.currency)
    minor_units = resolve_minor_units(amount, "amount", text_field="amount.amount")
    return Money(minor_units, account.currency)


def _check_texts(request: UpsertRequest, provider: BalanceProvider) -> None:
    key = request.idempotency_key
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
        raise BadInput(
            f"idempotencyKey must have 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters.",
            field="idempotencyKey",
        )
    if key is not None:
        _check_storable(key, "idempotencyKey")
    for field, note in (("memo", request.memo), ("referenceNumber", request.reference_number)):
        if note is None:
            continue
        if Capability.WRITE_MEMO not in provider.capabilities:
            raise Unsupported(f"This provider does not support {field}; leave it out.", field=field)
        if len(note) > NOTE_LENGTH_MAX:
            message = f"{field} must not be longer than {NOTE_LENGTH_MAX} characters."
            raise BadInput(message, field=field)
        _check_storable(note, field)


def is_storable(text: str) -> bool:
    """Return whether databases store a text: they reject NUL characters and lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_storable(text: str, field: str) -> None:
    if not is_storable(text):
        message = f"{field} contains a character that cannot be stored; remove it."
        raise BadInput(message, field=field)


def compute_fingerprint(request: UpsertRequest) -> str:
    """Hash the request without its key; only requests with equal fields have equal hashes."""
    parts = [
        request.account_id,
        # repr distinguishes a missing value from the text "None".
        repr(request.minor_units),
        repr(request.amount_text),
        request.currency,
        "" if request.effective_at is None else request.effective_at.isoformat(),
        repr(request.expected_previous),
        repr(request.memo),
        repr(request.reference_number),
    ]
    # Each part is prefixed with its length, so that no text can imitate the border of two parts.
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


class ExpectationFailed(BadInput):
    """The opening balance is not the one that the caller expects.

    Attributes:
        current: the opening balance that is set; None when none is.
    """

    def __init__(
        self, message: str, *, field: str | None = None, current: OpeningBalance | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.current = current


def check_expectation(
    expected: ExpectedPrevious | ExpectedUnreadable, previous: OpeningBalance | None, currency: str
) -> None:
    """Compare the opening balance before the write with the caller's expectation.

    Args:
        expected: the caller's expectation, in the account's currency.
        previous: the opening balance before the write; None when none is set.
        currency: the account's currency.

    Raises:
        ExpectationFailed: they differ, in amount or in currency, or none should be readable.
    """
    current = None if previous is None else previous.amount
    if isinstance(expected, ExpectedUnreadable):
        is_met = False
    else:
        minor_units = expected.minor_units
        is_met = current == (None if minor_units is None else Money(minor_units, currency))
    if not is_met:
        found = "none is set" if current is None else f"it is {current.amount} {current.currency}"
        raise ExpectationFailed(
            f"expectedPrevious is not the current opening balance: {found}. Nothing was changed.",
            field="expectedPrevious",
            current=previous,
        )

"""Turns what a caller asks for into a write that can be carried out, or says what is wrong."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import BadInput, Unsupported
from balance_gateway.domain.money import Money, parse_minor_units
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.service.opening_balances import ExpectedPrevious, UpsertRequest

IDEMPOTENCY_KEY_LENGTH_MAX = 255
NOTE_LENGTH_MAX = 1000


@dataclass(frozen=True, slots=True)
class UpsertPlan:
    """A write that is well-formed and that the provider can carry.

    Attributes:
        principal: who asks.
        account: whose opening balance.
        provider: its connector.
        amount: in the account's currency, holder's side.
        effective_at: resolved; None for a provider that takes no date and was given none.
        expected_previous: None = do not compare.
        idempotency_key: None = no key.
        fingerprint: of everything the caller asked for.
        memo: None without one.
        reference_number: None without one.
    """

    principal: Principal
    account: Account
    provider: BalanceProvider
    amount: Money
    effective_at: datetime | None
    expected_previous: ExpectedPrevious | None
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
    """The plan of a request. An instant that is left out is resolved here, once: to ``now``.

    Raises:
        BadInput: a field is wrong; it is named.
        Unsupported: the provider cannot carry what was asked for.
    """
    if Capability.WRITE_OPENING_BALANCE not in provider.capabilities:
        raise Unsupported("This provider takes no opening balance.")
    _check_texts(request, provider)
    effective_at = request.effective_at
    if effective_at is None and Capability.CHOOSE_EFFECTIVE_AT in provider.capabilities:
        effective_at = now
    return UpsertPlan(
        principal=principal,
        account=account,
        provider=provider,
        amount=_amount(request, account),
        effective_at=effective_at,
        expected_previous=request.expected_previous,
        idempotency_key=request.idempotency_key,
        fingerprint=_fingerprint(request),
        memo=request.memo,
        reference_number=request.reference_number,
    )


def _amount(request: UpsertRequest, account: Account) -> Money:
    if request.currency != account.currency:
        raise BadInput(
            f"The account is in {account.currency}; an amount is never converted.",
            field="amount.currency",
        )
    if (request.minor_units is None) == (request.amount_text is None):
        raise BadInput(
            "Give the amount either as minorUnits or as amount, not both and not neither.",
            field="amount",
        )
    if request.minor_units is not None:
        return Money(request.minor_units, account.currency)
    assert request.amount_text is not None
    minor_units = parse_minor_units(request.amount_text, account.currency, field="amount.amount")
    return Money(minor_units, account.currency)


def _check_texts(request: UpsertRequest, provider: BalanceProvider) -> None:
    key = request.idempotency_key
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
        raise BadInput(
            f"idempotencyKey has to have 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters.",
            field="idempotencyKey",
        )
    if key is not None:
        _check_storable(key, "idempotencyKey")
    for field, note in (("memo", request.memo), ("referenceNumber", request.reference_number)):
        if note is None:
            continue
        if Capability.WRITE_MEMO not in provider.capabilities:
            raise Unsupported(f"This provider takes no {field}; leave it out.", field=field)
        if len(note) > NOTE_LENGTH_MAX:
            raise BadInput(f"{field} is longer than {NOTE_LENGTH_MAX} characters.", field=field)
        _check_storable(note, field)


def _check_storable(text: str, field: str) -> None:
    """Raises BadInput for text that no database keeps: with a NUL, or half a surrogate pair."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput(f"{field} holds a character that cannot be stored.", field=field)


def _fingerprint(request: UpsertRequest) -> str:
    """A hash of what was asked for; two requests are alike when everything given is alike."""
    parts = [
        request.account_id,
        repr(request.minor_units),
        repr(request.amount_text),
        request.currency,
        "" if request.effective_at is None else request.effective_at.isoformat(),
        repr(request.expected_previous),
        repr(request.memo),
        repr(request.reference_number),
    ]
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def check_expectation(expected: ExpectedPrevious, previous: OpeningBalance | None) -> None:
    """Raises BadInput when what stands is not what the caller expects to stand."""
    standing = None if previous is None else previous.amount.minor_units
    if standing != expected.minor_units:
        told = "none is set" if previous is None else f"it is {previous.amount.amount}"
        raise BadInput(
            f"The opening balance is not the one you expect: {told}. Nothing was changed.",
            field="expectedPrevious",
        )

"""What a caller sends to set an opening balance, and its translation to the domain's words."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.scalars import BigInt, CurrencyCode, DecimalText, unset_to_none
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.amount_input import (
    AmountInput,
    require_one_form,
    resolve_expected_previous,
)
from balance_gateway.service.opening_balances import ExpectedPrevious, UpsertRequest


@strawberry.input(
    description="An amount from the account holder's side: exactly one of minorUnits and amount, "
    "and the currency."
)
class MoneyInput:
    """An amount, told in one of two ways."""

    minor_units: BigInt | None = strawberry.field(
        default=strawberry.UNSET,
        description="The amount in the currency's smallest unit, such as cents.",
    )
    amount: DecimalText | None = strawberry.field(
        default=strawberry.UNSET,
        description="The amount in major units. More decimals than the currency has are refused, "
        "never rounded.",
    )
    currency: CurrencyCode = strawberry.field(
        description="The currency; has to be the account's own."
    )


@strawberry.input(
    description="What the caller believes to stand now. The write is refused when something else "
    "does."
)
class ExpectedPreviousInput:
    """What the caller believes to stand now."""

    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The amount that stands; null: none is set. It has to be given, so that a "
        "variable left out by mistake is not read as none.",
    )


@strawberry.input(description="An opening balance to be set. Needs the scope balances:write.")
class UpsertOpeningBalanceInput:
    """An opening balance to be set."""

    account_id: strawberry.ID = strawberry.field(description="The account's id.")
    amount: MoneyInput = strawberry.field(description="The opening balance.")
    effective_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="The instant at which the account had it; left out: now, or the provider's "
        "own date where it has one. Refused where the provider takes none.",
    )
    expected_previous: ExpectedPreviousInput | None = strawberry.field(
        default=strawberry.UNSET, description="Compare and set; left out: nothing is compared."
    )
    idempotency_key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="1 to 255 characters. The same key again is answered with the first outcome; "
        "with other content it is refused.",
    )
    memo: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A note for people. Refused where the provider keeps none.",
    )
    reference_number: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="An identifier that users see. Refused where the provider keeps none.",
    )


def build_upsert_request(sent: UpsertOpeningBalanceInput) -> UpsertRequest:
    """Translate the input into the service's request.

    Raises:
        BadInput: an amount has both minorUnits and amount, or neither; or expectedPrevious is
            incomplete, or in another currency, or has too many decimals.
    """
    amount = _build_amount(sent.amount)
    # The service checks this again when it plans the write. It is checked here as well because
    # callers get an error about the amount before an error about the account.
    require_one_form(amount, "amount")
    return UpsertRequest(
        account_id=str(sent.account_id),
        minor_units=amount.minor_units,
        amount_text=amount.text,
        currency=amount.currency,
        effective_at=unset_to_none(sent.effective_at),
        expected_previous=_build_expected_previous(sent),
        idempotency_key=unset_to_none(sent.idempotency_key),
        memo=unset_to_none(sent.memo),
        reference_number=unset_to_none(sent.reference_number),
    )


def _build_expected_previous(sent: UpsertOpeningBalanceInput) -> ExpectedPrevious | None:
    if not sent.expected_previous:
        return None
    field = "expectedPrevious.amount"
    expected = sent.expected_previous.amount
    # Only this layer can tell a field that is left out from one that is null.
    if expected is strawberry.UNSET:
        message = f"{field} is missing; send null if no opening balance is set."
        raise BadInput(message, field=field)
    if expected is None:
        return ExpectedPrevious(minor_units=None)
    # Resolved before planning: the fingerprint of a request under an idempotency key covers the
    # expectation in minor units.
    return resolve_expected_previous(_build_amount(expected), sent.amount.currency, field)


def _build_amount(money: MoneyInput) -> AmountInput:
    return AmountInput(
        unset_to_none(money.minor_units), unset_to_none(money.amount), money.currency
    )

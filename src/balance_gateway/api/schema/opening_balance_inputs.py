"""What a caller sends to set an opening balance, and its translation to the domain's words."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.scalars import BigInt, CurrencyCode, DecimalText, unset_to_none
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import parse_minor_units
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


def build_upsert_request(wanted: UpsertOpeningBalanceInput) -> UpsertRequest:
    """The request in the domain's words.

    Raises:
        BadInput: an amount is told in no way or in two, or the expectation is incomplete.
    """
    minor_units, amount_text = _amount_of(wanted.amount, "amount")
    return UpsertRequest(
        account_id=str(wanted.account_id),
        minor_units=minor_units,
        amount_text=amount_text,
        currency=wanted.amount.currency,
        effective_at=unset_to_none(wanted.effective_at),
        expected_previous=_expected_previous_of(wanted),
        idempotency_key=unset_to_none(wanted.idempotency_key),
        memo=unset_to_none(wanted.memo),
        reference_number=unset_to_none(wanted.reference_number),
    )


def _expected_previous_of(wanted: UpsertOpeningBalanceInput) -> ExpectedPrevious | None:
    if not wanted.expected_previous:
        return None
    field = "expectedPrevious.amount"
    expected = wanted.expected_previous.amount
    if expected is strawberry.UNSET:
        raise BadInput(f"{field} is missing; send null to say that none is set.", field=field)
    if expected is None:
        return ExpectedPrevious(minor_units=None)
    minor_units, amount_text = _amount_of(expected, field)
    if expected.currency != wanted.amount.currency:
        message = f"{field} and amount have to be of one currency."
        raise BadInput(message, field=f"{field}.currency")
    if amount_text is not None:
        minor_units = parse_minor_units(amount_text, expected.currency, field=field)
    return ExpectedPrevious(minor_units)


def _amount_of(money: MoneyInput, field: str) -> tuple[int | None, str | None]:
    """The minor units or the text of an amount: exactly one of the two."""
    minor_units, amount_text = unset_to_none(money.minor_units), unset_to_none(money.amount)
    if (minor_units is None) == (amount_text is None):
        message = f"{field} takes exactly one of minorUnits and amount."
        raise BadInput(message, field=field)
    return minor_units, amount_text

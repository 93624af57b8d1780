"""Validates the amounts of a write request: one form of the amount, digits, decimals, currency."""

from dataclasses import dataclass

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import parse_minor_units
from balance_gateway.service.opening_balances import ExpectedPrevious


@dataclass(frozen=True, slots=True)
class AmountInput:
    """An amount as a caller sends it, in one of two forms.

    Attributes:
        minor_units: the amount in the currency's smallest unit; None when it is sent as text.
        text: the amount in major units as decimal text; None when it is sent as minor units.
        currency: ISO 4217 code.
    """

    minor_units: int | None
    text: str | None
    currency: str


def require_one_form(amount: AmountInput, field: str) -> None:
    """Check that exactly one of minor units and text is present.

    Raises:
        BadInput: both are present, or neither is.
    """
    if (amount.minor_units is None) == (amount.text is None):
        message = f"{field} must have exactly one of minorUnits and amount."
        raise BadInput(message, field=field)


def resolve_minor_units(amount: AmountInput, field: str, *, text_field: str) -> int:
    """Return the amount in minor units of its currency; nothing is rounded.

    Args:
        amount: the amount as sent.
        field: the input field that holds the amount; named in errors.
        text_field: the field named in errors about the decimal text.

    Raises:
        BadInput: the amount has two forms or none, or its text is not a plain decimal number with
            at most the decimals of the currency.
    """
    require_one_form(amount, field)
    if amount.minor_units is not None:
        return amount.minor_units
    assert amount.text is not None
    return parse_minor_units(amount.text, amount.currency, field=text_field)


def resolve_expected_previous(expected: AmountInput, currency: str, field: str) -> ExpectedPrevious:
    """Return the expectation of a compare-and-set write.

    Args:
        expected: the amount that the caller expects to be set.
        currency: the currency of the amount to be written.
        field: the input field that holds the expected amount; named in errors.

    Raises:
        BadInput: the expected amount is invalid, or it is in another currency.
    """
    require_one_form(expected, field)
    if expected.currency != currency:
        message = f"{field} must be in the currency of amount, {currency}."
        raise BadInput(message, field=f"{field}.currency")
    return ExpectedPrevious(resolve_minor_units(expected, field, text_field=field))

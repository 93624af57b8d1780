"""Represents money as an integer of minor units with an ISO 4217 currency.

Amounts are exact at any size and never rounded.
"""

import re
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from functools import cache

from iso4217 import Currency as IsoCurrency

from balance_gateway.domain.current_currencies import CURRENT_EXPONENTS
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.withdrawn_currencies import WITHDRAWN_CURRENCIES

#: Plain decimal text: no exponent, no digit grouping, no whitespace, ASCII digits only.
_DECIMAL_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)

#: Maximum length of an amount in input, in digits. It is far above any real amount and prevents
#: an attack with long numbers: converting text to an integer takes quadratic time.
AMOUNT_DIGITS_MAX = 1000

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


# ISO 4217's minor unit, not CLDR's display digits: they differ for thirteen currencies, and a wrong
# exponent is an error by a factor of at least a hundred.
@cache
def _published() -> Mapping[str, int | None]:
    return {currency.code: currency.exponent for currency in IsoCurrency}


def merge_exponents(published: Mapping[str, int | None]) -> Mapping[str, int | None]:
    """Return the exponents of all currencies, whatever the library's release says of older ones.

    Args:
        published: the exponents by code as the installed release of ``iso4217`` has them; None
            for a code without a minor unit.
    """
    withdrawn = {code: each.exponent for code, each in WITHDRAWN_CURRENCIES.items()}
    # In this order, so that no release of the library changes amounts that are already stored.
    return {**published, **withdrawn, **CURRENT_EXPONENTS}


@cache
def _exponents() -> Mapping[str, int | None]:
    return merge_exponents(_published())


def list_withdrawn(published: Collection[str]) -> Set[str]:
    """Return the known currencies that ISO 4217 has withdrawn.

    Args:
        published: the codes that the installed release of ``iso4217`` has.
    """
    return WITHDRAWN_CURRENCIES.keys() | (CURRENT_EXPONENTS.keys() - set(published))


@cache
def _withdrawn() -> Set[str]:
    return list_withdrawn(_published())


def is_withdrawn(currency: str) -> bool:
    """Return whether ISO 4217 has withdrawn a known currency; its amounts stay readable."""
    return currency in _withdrawn()


def currency_exponent(currency: str) -> int:
    """Return the number of decimals of an ISO 4217 currency, current or withdrawn: 0, 2, 3 or 4.

    Raises:
        BadInput: the code never was in ISO 4217, or has no known minor unit (XAU, XXX).
    """
    try:
        exponent = _exponents()[currency]
    except KeyError:
        message = f"{currency[:20]!r} is not an ISO 4217 currency code, such as EUR"
        raise BadInput(message, field="currency") from None
    if exponent is None:
        raise BadInput(f"{currency} has no minor unit in ISO 4217", field="currency")
    return exponent


@dataclass(frozen=True, slots=True)
class Money:
    """An amount from the account holder's side: positive is held, negative is owed.

    Attributes:
        minor_units: the amount in the currency's smallest unit (cents, fils, whole yen).
        currency: ISO 4217 code, upper case.
    """

    minor_units: int
    currency: str

    @property
    def exponent(self) -> int:
        """Number of decimals of the currency: 2 for EUR, 0 for JPY, 3 for KWD, 4 for CLF."""
        return currency_exponent(self.currency)

    @property
    def amount(self) -> str:
        """Plain decimal text with all decimals of the currency, such as -0.50."""
        return decimal_text(self.minor_units, self.exponent)

    def __neg__(self) -> "Money":
        return Money(-self.minor_units, self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.minor_units + other.minor_units, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.minor_units - other.minor_units, self.currency)

    def _require_same_currency(self, other: "Money") -> None:
        if other.currency != self.currency:
            raise ValueError(f"cannot add or subtract {self.currency} and {other.currency}")


def decimal_text(minor_units: int, exponent: int) -> str:
    """Format minor units as plain decimal text: ``decimal_text(-50, 2) == "-0.50"``."""
    if exponent == 0:
        return str(minor_units)
    sign = "-" if minor_units < 0 else ""
    digits = str(abs(minor_units)).zfill(exponent + 1)
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def parse_minor_units(text: str, currency: str, *, field: str = "amount") -> int:
    """Convert plain decimal text in major units to minor units of the currency.

    Accepts the same forms as the providers' own pattern: an optional sign, digits and a decimal
    point (``.5``, ``5.``, ``+5``). Decimals beyond the currency's exponent must be zeros, because
    amounts are never rounded.

    Args:
        text: the amount, at most ``AMOUNT_DIGITS_MAX`` characters.
        currency: ISO 4217 code.
        field: the input field to name in an error.

    Raises:
        BadInput: the text is not a plain decimal number, is too long or has more decimals than
            the currency, or the currency is unknown.
    """
    exponent = currency_exponent(currency)
    if len(text) > AMOUNT_DIGITS_MAX:
        message = f"{field} must not be longer than {AMOUNT_DIGITS_MAX} characters"
        raise BadInput(message, field=field)
    match = _DECIMAL_TEXT.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        message = f"{field} must be a plain decimal number, such as -1234.56: {text[:40]!r}"
        raise BadInput(message, field=field)
    sign, whole, decimals = match[1], match[2], match[3] or ""
    if decimals[exponent:].strip("0"):
        message = f"{field} has more than the {exponent} decimals of {currency} and is not rounded"
        raise BadInput(message, field=field)
    minor_units = int(whole + decimals[:exponent].ljust(exponent, "0") or "0")
    return -minor_units if sign == "-" else minor_units


def fits_int64(minor_units: int) -> bool:
    """Return whether a provider's int64 field can hold the number."""
    return INT64_MIN <= minor_units <= INT64_MAX

"""Money: an integer of minor units with its ISO 4217 currency; exact, at any size, never rounded.

The number of decimals of a currency is ISO 4217's minor unit, not CLDR's display digits: the two
differ for thirteen currencies, and a wrong exponent is wrong by a factor of a hundred or more.
"""

import re
from dataclasses import dataclass
from functools import cache

from iso4217 import Currency as IsoCurrency

from balance_gateway.domain.errors import BadInput

#: Plain decimal text: no exponent, no grouping, no blanks, ASCII digits only.
_DECIMAL_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)

#: Longest amount taken from outside, in digits. Far beyond any sum of money; it keeps the
#: conversion between text and integer, which is quadratic, out of reach of an attacker.
AMOUNT_DIGITS_MAX = 1000

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@cache
def _exponents() -> dict[str, int | None]:
    return {currency.code: currency.exponent for currency in IsoCurrency}


def currency_exponent(currency: str) -> int:
    """The number of decimals of an ISO 4217 currency: 0, 2, 3 or 4.

    Raises:
        BadInput: the code is not in ISO 4217, or names no spendable unit (XAU, XXX).
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
    """An amount seen from the account holder's side: + is money the holder has, − is owed.

    Attributes:
        minor_units: the amount in the currency's smallest unit (cents, fils, whole yen).
        currency: ISO 4217 code, upper case.
    """

    minor_units: int
    currency: str

    @property
    def exponent(self) -> int:
        """Decimals of the currency: 2 for EUR, 0 for JPY, 3 for KWD, 4 for CLF."""
        return currency_exponent(self.currency)

    @property
    def amount(self) -> str:
        """The amount as plain decimal text with all of the currency's decimals, such as -0.50."""
        return decimal_text(self.minor_units, self.exponent)

    def __neg__(self) -> "Money":
        return Money(-self.minor_units, self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._refuse_other_currency(other)
        return Money(self.minor_units + other.minor_units, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._refuse_other_currency(other)
        return Money(self.minor_units - other.minor_units, self.currency)

    def _refuse_other_currency(self, other: "Money") -> None:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} are never added up")


def decimal_text(minor_units: int, exponent: int) -> str:
    """Minor units as plain decimal text: ``decimal_text(-50, 2) == "-0.50"``."""
    if exponent == 0:
        return str(minor_units)
    sign = "-" if minor_units < 0 else ""
    digits = str(abs(minor_units)).zfill(exponent + 1)
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def parse_minor_units(text: str, currency: str, *, field: str = "amount") -> int:
    """Plain decimal text in major units as minor units of the currency.

    Takes what the providers' own pattern takes: a sign, digits, a point (``.5``, ``5.``, ``+5``).
    Decimals beyond the currency's exponent are taken only when they are zeros: nothing is rounded.

    Raises:
        BadInput: not plain decimal text, more digits than ``AMOUNT_DIGITS_MAX``, more decimals
            than the currency has, or no such currency. ``field`` is named in the error.
    """
    exponent = currency_exponent(currency)
    if len(text) > AMOUNT_DIGITS_MAX:
        raise BadInput(f"{field} is longer than {AMOUNT_DIGITS_MAX} characters", field=field)
    match = _DECIMAL_TEXT.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        message = f"{field} is not a plain decimal number, such as -1234.56: {text[:40]!r}"
        raise BadInput(message, field=field)
    sign, whole, decimals = match[1], match[2], match[3] or ""
    if decimals[exponent:].strip("0"):
        message = f"{field} has more than the {exponent} decimals of {currency}; it is not rounded"
        raise BadInput(message, field=field)
    minor_units = int(whole + decimals[:exponent].ljust(exponent, "0") or "0")
    return -minor_units if sign == "-" else minor_units


def fits_int64(minor_units: int) -> bool:
    """Whether the number is one that an int64 field of a provider can carry."""
    return INT64_MIN <= minor_units <= INT64_MAX

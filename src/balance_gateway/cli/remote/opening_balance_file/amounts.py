"""Converts amounts as people and spreadsheets write them to plain decimal text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: The character before the decimals.
DecimalMark = Literal[",", "."]

_SPACES = " \u00a0\u2007\u2009\u202f"
_APOSTROPHES = "'\u2019"
#: With the hyphen last, since between others it makes a range of characters.
_MINUS = "\u2212-"
_CODE = r"[A-Z]{3}"

#: The currencies that a sign can mean. A sign that is not here is refused.
_SIGNS = {
    **dict.fromkeys(("kr", "kr.", "Kr", "Kr."), frozenset({"DKK", "SEK", "NOK", "ISK"})),
    "$": frozenset(
        {"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP", "BRL", "FJD"}
    ),
    "US$": frozenset({"USD"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "GIP", "FKP", "SHP", "EGP", "LBP", "SYP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "₹": frozenset({"INR"}),
    "₩": frozenset({"KRW", "KPW"}),
    "₺": frozenset({"TRY"}),
    "₪": frozenset({"ILS"}),
    "₫": frozenset({"VND"}),
    "₱": frozenset({"PHP"}),
    "₴": frozenset({"UAH"}),
    "₦": frozenset({"NGN"}),
    "฿": frozenset({"THB"}),
    "zł": frozenset({"PLN"}),
    "Kč": frozenset({"CZK"}),
    "R$": frozenset({"BRL"}),
    "Fr.": frozenset({"CHF"}),
}
_SIGN = "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
_UNIT = rf"(?:{_SIGN}|{_CODE})"
_GAP = f"[{_SPACES}]*"
_PARTS = re.compile(
    rf"{_GAP}(?P<open>\()?{_GAP}(?P<before>[+{_MINUS}])?{_GAP}(?P<prefix>{_UNIT})?{_GAP}"
    rf"(?P<inner>[+{_MINUS}])?{_GAP}"
    rf"(?P<digits>[0-9](?:[0-9.,{_SPACES}{_APOSTROPHES}]*[0-9])?|[.,][0-9]+)"
    rf"{_GAP}(?P<after>[{_MINUS}])?{_GAP}(?P<suffix>{_UNIT})?{_GAP}(?P<close>\))?{_GAP}"
)
_GROUPS = {
    mark: re.compile(rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+")
    for mark in (",", ".", *_SPACES, *_APOSTROPHES)
}
_EXAMPLES = "1250.00, (500) or 500-"


class InvalidAmount(Exception):
    """A text is not an amount; the message is the end of a sentence that begins with the text."""


@dataclass(frozen=True, slots=True)
class WrittenAmount:
    """An amount as it is written, before it is known which character is the decimal mark.

    Attributes:
        digits: digits, marks and separators.
        is_negative: whether it is negative.
        currencies: the currencies that its sign or code can mean; None without one.
    """

    digits: str
    is_negative: bool
    currencies: frozenset[str] | None

    def find_mark(self) -> DecimalMark | None:
        """Return the decimal mark if this text alone shows which it is."""
        comma, point = self.digits.rfind(","), self.digits.rfind(".")
        if comma >= 0 and point >= 0:
            return "," if comma > point else "."
        mark: DecimalMark = "," if comma >= 0 else "."
        other: DecimalMark = "." if mark == "," else ","
        count = self.digits.count(mark)
        if count == 0:
            return None
        if count > 1:
            return other
        whole, decimals = self.digits.split(mark)
        could_be_group = len(decimals) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
        return None if could_be_group else mark

    @property
    def is_ambiguous(self) -> bool:
        """Whether its value depends on the decimal mark, and it does not show which it is."""
        return self.find_mark() is None and any(mark in self.digits for mark in ",.")

    def to_decimal_text(self, mark: DecimalMark) -> str:
        """Return plain decimal text such as -1250.00.

        Raises:
            InvalidAmount: the digits are not grouped in thousands with one kind of separator.
        """
        whole, _, decimals = self.digits.partition(mark)
        if not decimals.isdigit() and (decimals or mark in self.digits):
            raise InvalidAmount(f"is not an amount with {_describe(mark)} before its decimals")
        separators = {char for char in whole if not char.isdigit()}
        if separators:
            # With two kinds of separators no group fits.
            if not _GROUPS[separators.pop()].fullmatch(whole):
                raise InvalidAmount(
                    f"is not an amount with {_describe(mark)} before its decimals and groups of"
                    " three digits"
                )
            whole = "".join(char for char in whole if char.isdigit())
        text = f"{whole or '0'}.{decimals}" if decimals else whole
        return f"-{text}" if self.is_negative else text


def parse_written(text: str) -> WrittenAmount:
    """Split an amount into its parts.

    Raises:
        InvalidAmount: it is none, or has two signs.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None or bool(parts["open"]) != bool(parts["close"]):
        raise InvalidAmount(f"is not an amount such as {_EXAMPLES}")
    signs = [sign for sign in (parts["before"], parts["inner"], parts["after"]) if sign]
    if len(signs) + bool(parts["open"]) > 1:
        raise InvalidAmount("has more than one sign")
    if parts["prefix"] and parts["suffix"]:
        raise InvalidAmount("has more than one currency")
    unit = parts["prefix"] or parts["suffix"]
    currencies = None if unit is None else _SIGNS.get(unit, frozenset({unit}))
    is_negative = bool(parts["open"]) or (bool(signs) and signs[0] != "+")
    return WrittenAmount(parts["digits"], is_negative, currencies)


@dataclass(frozen=True, slots=True)
class FoundMark:
    """What the amounts of a file show of the decimal mark.

    Attributes:
        mark: the mark; None if they do not show it, or show both.
        lines: the first line that shows each mark.
        ambiguous_line: the first line with an amount that depends on it; None without one.
    """

    mark: DecimalMark | None
    lines: dict[DecimalMark, int]
    ambiguous_line: int | None


def find_decimal_mark(amounts: Iterable[tuple[int, WrittenAmount]]) -> FoundMark:
    """Find the decimal mark from all amounts together, each with its line."""
    lines: dict[DecimalMark, int] = {}
    ambiguous_line: int | None = None
    for line, amount in amounts:
        mark = amount.find_mark()
        if mark is not None:
            lines.setdefault(mark, line)
        elif ambiguous_line is None and amount.is_ambiguous:
            ambiguous_line = line
    [mark] = lines if len(lines) == 1 else [None]
    return FoundMark(mark, lines, ambiguous_line)


def _describe(mark: DecimalMark) -> str:
    return "a comma" if mark == "," else "a point"

"""Tests money: exact conversion at any size in every currency, or an error."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import (
    AMOUNT_DIGITS_MAX,
    Money,
    currency_exponent,
    decimal_text,
    fits_int64,
    parse_minor_units,
)

EXPONENTS = {"JPY": 0, "EUR": 2, "KWD": 3, "CLF": 4}
CURRENCIES = st.sampled_from(sorted(EXPONENTS))
AMOUNTS = st.integers() | st.integers(-(10**300), 10**300)


@given(AMOUNTS, CURRENCIES)
def test_minor_units_survive_text(minor_units: int, currency: str) -> None:
    money = Money(minor_units, currency)

    assert parse_minor_units(money.amount, currency) == minor_units


@given(AMOUNTS, CURRENCIES)
def test_amount_text_has_the_value_and_all_decimals(minor_units: int, currency: str) -> None:
    text = Money(minor_units, currency).amount

    with localcontext() as context:
        context.prec = 400
        assert Decimal(text).scaleb(EXPONENTS[currency]) == minor_units
    _, point, decimals = text.partition(".")
    assert len(decimals) == EXPONENTS[currency]
    assert bool(point) is bool(EXPONENTS[currency])


@given(
    sign=st.sampled_from(["", "+", "-"]),
    zeros=st.integers(0, 5),
    whole=st.integers(0, 10**40),
    decimals=st.text("0123456789", max_size=4),
    more_zeros=st.integers(0, 5),
    currency=CURRENCIES,
)
def test_plain_decimal_text_is_parsed_exactly(
    sign: str, zeros: int, whole: int, decimals: str, more_zeros: int, currency: str
) -> None:
    exponent = EXPONENTS[currency]
    decimals = decimals[:exponent]
    padded = decimals + "0" * (exponent - len(decimals) + more_zeros)
    text = f"{sign}{'0' * zeros}{whole}.{padded}"

    minor_units = parse_minor_units(text, currency)

    with localcontext() as context:
        context.prec = 400
        assert minor_units == Decimal(text).scaleb(exponent)


@pytest.mark.parametrize(
    ("text", "currency", "minor_units"),
    [
        (".5", "EUR", 50),
        ("5.", "EUR", 500),
        ("+5", "EUR", 500),
        ("-0", "EUR", 0),
        ("-0.05", "EUR", -5),
        ("007.10", "EUR", 710),
        ("1.2000", "EUR", 120),
        ("1.000000", "JPY", 1),
        ("5.", "JPY", 5),
        (".0", "JPY", 0),
        ("0.001", "KWD", 1),
        ("0.0001", "CLF", 1),
        ("70368744177664.01", "EUR", 7036874417766401),
        ("9007199254740993", "JPY", 9007199254740993),
    ],
)
def test_unusual_but_valid_texts_are_accepted(text: str, currency: str, minor_units: int) -> None:
    assert parse_minor_units(text, currency) == minor_units


@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "-", "-.", "+-1", "--1", "1-", "1e3", "1E3", "0x10", "NaN", "nan", "Infinity",
     "inf", "1_000", "1,000", "1,5", " 1", "1 ", "1\n", "\n1", "1\t", "1 000", "1.2.3", "١", "１",
     "1.²", "−1", "€1", "1\x00", "None"],
)  # fmt: skip
def test_other_texts_are_rejected(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_minor_units(text, "EUR", field="amount.amount")

    assert caught.value.field == "amount.amount"


@pytest.mark.parametrize(
    ("text", "currency"),
    [("1.5", "JPY"), ("1.001", "EUR"), ("0.009", "EUR"), ("1.0001", "KWD"), ("1.00001", "CLF")],
)
def test_excess_decimals_are_rejected_not_rounded(text: str, currency: str) -> None:
    with pytest.raises(BadInput, match="not rounded"):
        parse_minor_units(text, currency)


def test_overlong_text_is_rejected_before_conversion() -> None:
    longest = "9" * AMOUNT_DIGITS_MAX

    with pytest.raises(BadInput, match="longer"):
        parse_minor_units(longest + "9", "CLF")

    assert Money(parse_minor_units(longest, "CLF"), "CLF").amount == longest + ".0000"


def test_the_error_shows_only_the_start_of_a_long_text() -> None:
    with pytest.raises(BadInput) as caught:
        parse_minor_units("x" * 900, "EUR")

    assert len(caught.value.message) < 200


@given(st.text(max_size=12), CURRENCIES)
def test_accepted_text_has_the_same_value_as_decimal(text: str, currency: str) -> None:
    try:
        minor_units = parse_minor_units(text, currency)
    except BadInput:
        return

    assert Decimal(text).scaleb(EXPONENTS[currency]) == minor_units


def test_every_iso_currency_has_its_exponent_or_is_rejected() -> None:
    for currency in Currency:
        if currency.exponent is None:
            with pytest.raises(BadInput):
                currency_exponent(currency.code)
        else:
            assert currency_exponent(currency.code) == currency.exponent


# CLDR displays all of these without decimals, but ISO 4217 defines minor units.
@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("AFN", 2), ("ALL", 2), ("IRR", 2), ("IQD", 3), ("KPW", 2), ("LAK", 2), ("LBP", 2),
     ("MGA", 2), ("MMK", 2), ("RSD", 2), ("SOS", 2), ("SYP", 2), ("YER", 2)],
)  # fmt: skip
def test_iso_minor_units_override_display_digits(currency: str, exponent: int) -> None:
    assert currency_exponent(currency) == exponent
    assert parse_minor_units("1", currency) == 10**exponent


@pytest.mark.parametrize("currency", ["XAU", "XXX", "XTS", "eur", "EU", "EURO", "", "€", "EUR\n"])
def test_codes_without_minor_unit_are_rejected(currency: str) -> None:
    with pytest.raises(BadInput) as caught:
        currency_exponent(currency)

    assert caught.value.field == "currency"


@given(AMOUNTS, AMOUNTS)
def test_sums_and_differences_are_exact(one: int, other: int) -> None:
    a, b = Money(one, "EUR"), Money(other, "EUR")

    assert (a + b, a - b, -a) == (
        Money(one + other, "EUR"), Money(one - other, "EUR"), Money(-one, "EUR"),
    )  # fmt: skip


def test_different_currencies_cannot_be_added_or_subtracted() -> None:
    with pytest.raises(ValueError, match="cannot add"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(ValueError, match="cannot add"):
        Money(1, "EUR") - Money(1, "USD")


@pytest.mark.parametrize(
    ("minor_units", "exponent", "text"),
    [(0, 0, "0"), (0, 2, "0.00"), (-50, 2, "-0.50"), (5, 3, "0.005"), (-12345, 4, "-1.2345")],
)
def test_decimal_text_of_small_amounts(minor_units: int, exponent: int, text: str) -> None:
    assert decimal_text(minor_units, exponent) == text


@pytest.mark.parametrize(
    ("minor_units", "fits"),
    [(2**63 - 1, True), (2**63, False), (-(2**63), True), (-(2**63) - 1, False), (0, True)],
)
def test_int64_limits(minor_units: int, fits: bool) -> None:
    assert fits_int64(minor_units) is fits

"""Money at its limits: the longest text, int64, names of fields, and the texts of enums."""

import pytest

from balance_gateway.domain.accounts import Capability, ProviderKind, Side
from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import Money, currency_exponent, fits_int64, parse_minor_units


@pytest.mark.parametrize(
    ("minor_units", "fits"),
    [(-(2**63) - 1, False), (-(2**63), True), (0, True), (2**63 - 1, True), (2**63, False)],
)
def test_int64_holds_its_whole_range_and_no_more(minor_units: int, fits: bool) -> None:
    assert fits_int64(minor_units) is fits


def test_amount_text_has_at_most_a_thousand_characters() -> None:
    assert parse_minor_units("9" * 1000, "JPY") == 10**1000 - 1
    with pytest.raises(BadInput, match="must not be longer than 1000 characters") as caught:
        parse_minor_units("9" * 1001, "JPY")

    assert caught.value.field == "amount"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e3", "amount must be a plain decimal number, such as -1234.56: '1e3'"),
        ("." * 50, f"amount must be a plain decimal number, such as -1234.56: '{'.' * 40}'"),
        ("1.234", "amount has more than the 2 decimals of EUR and is not rounded"),
    ],
)
def test_a_bad_amount_is_named_in_the_error(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_minor_units(text, "EUR")

    assert (caught.value.message, caught.value.field) == (message, "amount")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("EURO", "'EURO' is not an ISO 4217 currency code, such as EUR"),
        ("X" * 30, f"'{'X' * 20}' is not an ISO 4217 currency code, such as EUR"),
        ("XAU", "XAU has no minor unit in ISO 4217"),
    ],
)
def test_a_bad_currency_is_named_in_the_error(code: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        currency_exponent(code)

    assert (caught.value.message, caught.value.field) == (message, "currency")


@pytest.mark.parametrize(("text", "minor_units"), [(".0", 0), ("-.0", 0), ("5.", 5), ("+7", 7)])
def test_a_part_of_the_number_may_be_missing(text: str, minor_units: int) -> None:
    assert parse_minor_units(text, "JPY") == minor_units


def test_amounts_of_two_currencies_are_neither_added_nor_subtracted() -> None:
    euro, yen = Money(1, "EUR"), Money(1, "JPY")

    for combine in (Money.__add__, Money.__sub__):
        with pytest.raises(ValueError, match="cannot add or subtract EUR and JPY"):
            combine(euro, yen)


def test_money_is_negated_added_and_subtracted_in_its_currency() -> None:
    assert -Money(5, "EUR") == Money(-5, "EUR")
    assert Money(5, "EUR") + Money(-7, "EUR") == Money(-2, "EUR")
    assert Money(5, "EUR") - Money(-7, "EUR") == Money(12, "EUR")


def test_texts_that_are_stored_or_configured_do_not_change() -> None:
    assert [side.value for side in Side] == ["debit", "credit"]
    assert [kind.value for kind in ProviderKind][:4] == ["light", "asset", "layer", "local"]
    assert ProviderKind("statement_file") is ProviderKind.STATEMENT_FILE
    assert [source.value for source in OpeningBalanceSource] == [
        "provider",
        "recorded_by_gateway",
        "derived",
    ]
    assert {capability.value for capability in Capability} >= {
        "read_bank_balance",
        "read_ledger_balance",
        "read_opening_balance",
        "write_opening_balance",
        "choose_effective_at",
        "write_memo",
    }


def test_each_provider_is_described_to_clients() -> None:
    assert ProviderKind.LIGHT.description == "Light."
    assert all(kind.description.endswith(".") for kind in ProviderKind)

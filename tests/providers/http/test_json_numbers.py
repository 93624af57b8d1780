"""Numbers in responses: exact, finite, and with the decimals of their currency."""

from decimal import Decimal

import pytest

from balance_gateway.ports.evidence import format_raw
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.body import decode_json


def test_numbers_never_pass_through_binary_floating_point() -> None:
    """70368744177664.01 is …664.02 as a float."""
    record = decode_json(b'{"amount": 70368744177664.01, "small": 0.29}')

    assert record["amount"] == Decimal("70368744177664.01")
    assert json_fields.parse_major_units(record, "amount", "USD") == 7036874417766401
    assert json_fields.parse_major_units(record, "small", "USD") == 29


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e99999999999999999999"])
def test_non_finite_numbers_are_rejected_in_any_field(number: str) -> None:
    with pytest.raises(json_fields.MalformedResponse):
        decode_json(f'{{"balance": 1, "metadata": {{"x": {number}}}}}'.encode())


@pytest.mark.parametrize(
    ("number", "currency", "minor_units"),
    [
        ("1000", "JPY", 1000),
        ("1000.0", "JPY", 1000),
        ("0.001", "KWD", 1),
        ("0.0001", "CLF", 1),
        ("1.5", "USD", 150),
        ("-0", "USD", 0),
        ("-0.0", "JPY", 0),
        ("1E+3", "USD", 100_000),
        ("0e-9999", "USD", 0),
        ("9" * 60, "USD", int("9" * 60 + "00")),
    ],
)
def test_decimals_follow_iso_4217(number: str, currency: str, minor_units: int) -> None:
    record = decode_json(f'{{"n": {number}}}'.encode())

    assert json_fields.parse_major_units(record, "n", currency) == minor_units


@pytest.mark.parametrize(
    ("number", "currency"), [("0.5", "JPY"), ("0.001", "USD"), ("1e-101", "USD"), ("1e100", "USD")]
)
def test_amount_with_too_many_decimals_is_rejected_not_rounded(number: str, currency: str) -> None:
    with pytest.raises(json_fields.MalformedResponse):
        json_fields.parse_major_units(decode_json(f'{{"n": {number}}}'.encode()), "n", currency)


def test_a_number_keeps_its_spelling_where_it_is_explained() -> None:
    body = b'{"a": 1.50e2, "b": -0, "c": 12, "d": 0.10}'
    kept, usual = decode_json(body, keeps_literals=True), decode_json(body)

    assert kept == usual
    assert [format_raw(kept[key]) for key in "abcd"] == ["1.50e2", "-0", "12", "0.10"]

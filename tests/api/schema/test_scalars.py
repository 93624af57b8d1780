"""Scalars: exact in input and output; other values are rejected."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.api.schema.json_output import encode_json_value
from balance_gateway.api.schema.scalars import (
    parse_big_int,
    parse_currency,
    parse_date,
    parse_decimal,
    parse_instant,
)
from balance_gateway.domain.calendar_days import format_instant
from balance_gateway.domain.money import decimal_text, parse_minor_units
from tests.api.fakes import GatewayHarness, open_client

DIGITS = "٣४三𝟛"


@given(st.integers(min_value=-(10**999), max_value=10**999))
def test_big_int_round_trips(number):
    assert parse_big_int(str(number)) == number
    assert parse_big_int(number) == number


@pytest.mark.parametrize(
    "value",
    ["", "+", "1.0", "1e3", "1_000", " 1", "1 ", "0x1", *DIGITS, 1.0, 1e20, True, None, [], {},
     "9" * 1001, 10**1000, -(10**1000)],
)  # fmt: skip
def test_big_int_rejects_other_values(value):
    with pytest.raises(GraphQLError, match="BigInt"):
        parse_big_int(value)


@given(st.integers(min_value=-(10**900), max_value=10**900))
def test_decimal_round_trips(minor_units):
    text = decimal_text(minor_units, 2)

    assert parse_decimal(text) == text
    assert parse_minor_units(parse_decimal(text), "EUR") == minor_units


@pytest.mark.parametrize(
    "value",
    ["", ".", "-", "NaN", "Infinity", "1e3", "1E400", "1,000", "1_0", " 1", "0x1", *DIGITS,
     True, None, [], "9" * 1001],
)  # fmt: skip
def test_decimal_rejects_other_values(value):
    with pytest.raises(GraphQLError, match="Decimal"):
        parse_decimal(value)


def test_float_error_says_to_send_a_string():
    with pytest.raises(GraphQLError, match="Send it as a string"):
        parse_decimal(0.1)


@given(st.dates())
def test_date_round_trips(day):
    assert parse_date(day.isoformat()) == day


@pytest.mark.parametrize(
    "value",
    ["2026-02-29", "2026-13-01", "2026-00-10", "0000-01-01", "2026-1-1", "20260101", "2026-W01-1",
     "2026-01-01T00:00:00Z", "10000-01-01", "-001-01-01", "٢٠٢٦-٠١-٠١", "", None, 20260101, True],
)  # fmt: skip
def test_date_rejects_other_values(value):
    with pytest.raises(GraphQLError, match="Date must be a calendar day"):
        parse_date(value)


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001
        timezones=st.integers(min_value=-1439, max_value=1439).map(
            lambda minutes: timezone(timedelta(minutes=minutes))
        ),
    )
)
def test_date_time_round_trips_in_utc(instant):
    parsed = parse_instant(instant.isoformat())

    assert parsed == instant
    assert format_instant(parsed).endswith("Z")
    assert parse_instant(format_instant(parsed)) == instant


def test_date_time_without_offset_error_says_to_append_one():
    with pytest.raises(GraphQLError, match="append Z for UTC"):
        parse_instant("2026-01-31T00:00:00")


@pytest.mark.parametrize(
    "value",
    ["", "2026-01-31", "2026-01-31 00:00:00Z", "2026-01-31T24:00:01Z", "2026-02-30T00:00:00Z",
     "2026-01-31T00:00:00+25:00", "2026-01-31T00:00Z", "0001-01-01T00:00:00+23:00", 1, None,
     "2026-01-31T00:00:00.1234567Z", "2026-01-31T00:00:00+00:60", "2026-01-31T00:00:00-12:99",
     "2026-01-31T00:00:00+24:00", "2026-01-31T00:00:00-23:60", "2026-01-31T24:00:00Z"],
)  # fmt: skip
def test_date_time_rejects_other_values(value):
    with pytest.raises(GraphQLError):
        parse_instant(value)


def test_date_time_accepts_any_case_and_precision():
    expected = datetime(2026, 1, 31, 1, 2, 3, 120000, tzinfo=UTC)

    assert parse_instant("2026-01-31t01:02:03.12z") == expected
    assert parse_instant("2026-01-31T02:02:03.120000000+01:00") == expected


@pytest.mark.parametrize("value", ["eur", "EURO", "EU", "XXX", "QQQ", "ЕUR", "", None, 978])
def test_currency_code_rejects_other_values(value):
    with pytest.raises(GraphQLError):
        parse_currency(value)


def test_json_numbers_are_exact():
    value = {
        "big": 2**80,
        "exact": Decimal("0.10"),
        "list": [1, None, True, "x"],
        "nan": Decimal("NaN"),
    }

    text = orjson.dumps(encode_json_value(value)).decode()

    assert orjson.loads(text)["list"] == [1, None, True, "x"]
    assert orjson.loads(text)["nan"] is None

    assert '"big":1208925819614629174706176' in text
    assert '"exact":0.10' in text


UPSERT = """mutation ($input: UpsertOpeningBalanceInput!) {
  upsertOpeningBalance(input: $input) { __typename ... on OpeningBalanceRejected { message } } }"""


async def test_decimal_literal_is_used_as_written(harness: GatewayHarness):
    async with open_client(harness) as client:
        await client.data(
            'mutation { upsertOpeningBalance(input: {accountId: "acct_operating", amount: '
            '{amount: 12345678901234567890.10, currency: "EUR"}}) { __typename } }',
            key="key-admin",
        )

    assert harness.writer.requests[0].amount_text == "12345678901234567890.10"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({"amount": 0.1, "currency": "EUR"}, ["$input", ".amount.amount", "Send it as a string"]),
        ({"minorUnits": 1.5, "currency": "EUR"}, ["$input", ".amount.minorUnits", "BigInt"]),
        ({"minorUnits": "1", "currency": "euro"}, ["$input", ".amount.currency", "CurrencyCode"]),
    ],
)
async def test_invalid_variable_error_names_path_and_rule(harness: GatewayHarness, amount, words):
    async with open_client(harness) as client:
        answer = await client.ask(
            UPSERT, {"input": {"accountId": "a", "amount": amount}}, key="key-admin"
        )

    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert all(word in error["message"] for word in words), error["message"]
    assert not harness.writer.requests


async def test_invalid_literal_error_hides_python_text(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask(
            '{ bankAccount(id: "acct_yen") { balance(asOf: "2026-02-30") { asOf } } }'
        )

    [error] = answer["errors"]
    assert "The day does not exist" in error["message"]
    assert "invalid literal" not in error["message"]

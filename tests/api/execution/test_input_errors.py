"""Errors about wrong input: place, words and code."""

import pytest

from tests.api.fakes import GatewayHarness, open_client

FILTER = "query ($filter: BankAccountFilter) { bankAccounts(filter: $filter) { totalCount } }"


async def ask_one(harness: GatewayHarness, document: str, variables=None):
    async with open_client(harness) as client:
        answer = await client.ask(document, variables)
    assert "data" not in answer
    return answer["errors"][0]


@pytest.mark.parametrize(
    ("document", "variables", "code"),
    [
        ("{", None, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        ('{ bankAccounts(first: "1") { totalCount } }', None, "GRAPHQL_VALIDATION_FAILED"),
        ('{ balanceTotals(asOf: "today") { currency } }', None, "BAD_USER_INPUT"),
        (FILTER, {"filter": 5}, "BAD_USER_INPUT"),
        ("query A { __typename } query B { __typename }", None, "BAD_USER_INPUT"),
    ],
)
async def test_each_kind_of_error_has_its_code(harness: GatewayHarness, document, variables, code):
    error = await ask_one(harness, document, variables)

    assert error["extensions"]["code"] == code
    assert error["extensions"]["retryable"] is False


@pytest.mark.parametrize(
    ("document", "column", "place"),
    [
        ('{ balanceTotals(asOf: "today") { currency } }', 23, "asOf"),
        ('{ bankAccounts(filter: {currencies: ["EUR", "EURO"]}) { totalCount } }', 45,
         "filter.currencies[1]"),
        ('{ bankAccount(id: "a") { balance(asOf: 5) { asOf } } }', 40, "asOf"),
        ('query ($day: Date = "x") { balanceTotals(asOf: $day) { currency } }', 21, None),
    ],
)  # fmt: skip
async def test_a_wrong_literal_of_a_custom_scalar_has_a_place(
    harness: GatewayHarness, document, column, place
):
    error = await ask_one(harness, document)

    assert error["locations"] == [{"line": 1, "column": column}]
    assert error["extensions"].get("field") == place
    assert place is None or f"Argument '{place}'" in error["message"]


@pytest.mark.parametrize(
    ("value", "place", "words"),
    [
        ({"nme": 1}, "filter", '{"nme": 1}'),
        ({"ids": [None]}, "filter.ids[0]", "not to be null"),
        ({"currencies": ["EUR", "EURO"]}, "filter.currencies[1]", "CurrencyCode"),
        ({"nameContains": True}, "filter.nameContains", "true"),
        ({"providers": ["NO"]}, "filter.providers[0]", "NO"),
        ("x", "filter", '"x"'),
    ],
)
async def test_a_wrong_variable_has_a_place_and_words_of_graphql(
    harness: GatewayHarness, value, place, words
):
    error = await ask_one(harness, FILTER, {"filter": value})

    assert error["locations"] == [{"line": 1, "column": 8}]
    assert f"Variable '${place}'" in error["message"]
    assert error["extensions"]["field"] == place
    assert words in error["message"]
    assert "None" not in error["message"]
    assert "{'" not in error["message"]


async def test_a_missing_variable_is_named(harness: GatewayHarness):
    error = await ask_one(harness, "query ($id: ID!) { bankAccount(id: $id) { id } }")

    assert "Variable '$id'" in error["message"]
    assert "None" not in error["message"]


async def test_a_null_literal_is_null_in_the_message(harness: GatewayHarness):
    error = await ask_one(harness, "{ bankAccount(id: null) { id } }")

    assert "not to be null" in error["message"]


@pytest.mark.parametrize(
    "document",
    [
        "{ bankAccount(id: %s) { id } }",
        "{ bankAccounts(first: %s) { totalCount } }",
        "{ nodes(ids: [1, %s]) { id } }",
        "query ($first: Int = %s) { bankAccounts(first: $first) { totalCount } }",
        "{ bankAccount(id: %s.5) { id } }",
    ],
)
async def test_a_number_of_any_length_is_refused_by_its_limit(harness: GatewayHarness, document):
    """An integer of 4301 digits was once a 500: Python converts no longer one."""
    async with open_client(harness) as client:
        response = await client.post(document % ("9" * 4301))

    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert "at most 1000 characters" in error["message"]
    assert error["locations"]


@pytest.mark.parametrize("number", ["1e999999999", "1E+9999", "1.5e-99999"])
async def test_a_number_with_a_monstrous_exponent_is_refused(harness: GatewayHarness, number):
    async with open_client(harness) as client:
        response = await client.post(f"{{ bankAccount(id: {number}) {{ id }} }}")

    assert response.status_code == 400
    assert "exponent of at most 3 digits" in response.json()["errors"][0]["message"]


async def test_digits_in_a_string_are_no_number(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask(f'{{ bankAccount(id: "{"9" * 4301}") {{ id }} }}')

    assert answer["data"] == {"bankAccount": None}
    assert answer["errors"][0]["extensions"]["field"] == "id"

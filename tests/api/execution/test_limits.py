"""Limits of documents: typical documents pass, a document beyond a limit is refused quickly."""

import time

import pytest

from balance_gateway.api.execution.documents import Documents
from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.execution.query_cost import apply_defaults
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.errors import RequestRefused
from tests.api.fakes import ADMIN, GatewayHarness, account, open_client

#: Generous: a refusal takes milliseconds, exponential work takes minutes.
REFUSAL_TIME_S = 1.0

ONE = 'bankAccount(id: "acct_yen")'


def dashboard(count: int) -> str:
    fields = (
        f'a{index}: bankAccount(id: "acct_{index:040}") {{ ...Row }}' for index in range(count)
    )
    return (
        "{"
        + "\n".join(fields)
        + "}"
        + (
            " fragment Row on BankAccount { id name currency balance { asOf"
            " bank { amount currency } ledger { amount currency } difference { amount }"
            " freshness { state ageSeconds } } }"
        )
    )


def nested_fragments(levels: int, spreads: int = 2) -> str:
    last = f"fragment F{levels} on BankAccount {{ id }}"
    return (
        f"{{ {ONE} {{ ...F0 }} }} "
        + " ".join(
            f"fragment F{level} on BankAccount {{ {f'...F{level + 1} ' * spreads}}}"
            for level in range(levels)
        )
        + last
    )


def doubled_fields(levels: int) -> str:
    """Build fragments that select a list field twice and spread the next fragment below both."""
    chain = " ".join(
        f"fragment F{level} on __Type {{ a{level}: fields {{ type {{ ...F{level + 1} }} }} "
        f"b{level}: fields {{ type {{ ...F{level + 1} }} }} }}"
        for level in range(levels)
    )
    return (
        f'{{ __type(name: "Query") {{ ...F0 }} }} {chain} fragment F{levels} on __Type {{ name }}'
    )


def nested_connections(levels: int) -> str:
    return (
        "{ bankAccounts { nodes { ...F0 } } } "
        + " ".join(
            f"fragment F{level} on BankAccount {{ a{level}: connector {{ id }} "
            f"...F{level + 1} ...G{level} }} fragment G{level} on BankAccount {{ ...F{level + 1} }}"
            for level in range(levels)
        )
        + f" fragment F{levels} on BankAccount {{ id }}"
    )


def same_field(count: int) -> str:
    fields = " ".join(f'balance(asOf: "2026-01-01", maxAgeSeconds: {n}) {{ asOf }}'
                      for n in range(count))  # fmt: skip
    return f"{{ {ONE} {{ {fields} }} }}"


def same_field_in_fragments(fragments: int, each: int) -> str:
    body = " ".join(f"balance(maxAgeSeconds: {n}) {{ asOf }}" for n in range(each))
    spreads = " ".join(f"...F{n}" for n in range(fragments))
    return f"{{ {ONE} {{ {spreads} }} }} " + " ".join(
        f"fragment F{n} on BankAccount {{ {body} }}" for n in range(fragments)
    )


def repeated(names: list[str], times: int) -> str:
    if not names:
        return "asOf"
    return f"{names[0]} {{ {repeated(names[1:], times)} }} " * times


def deep(levels: int) -> str:
    return "{ a " * levels + "}" * levels


def deep_list(levels: int) -> str:
    return f"{{ nodes(ids: {'[' * levels}{']' * levels}) {{ id }} }}"


MUTATION = (
    'upsertOpeningBalance(input: {accountId: "a", amount: {minorUnits: 1, currency: "EUR"}})'
    " { __typename }"
)

REFUSED = {
    "characters": "{ bankAccounts { totalCount } } #" + "x" * 65_536,
    "700 kB of spaces": "{ bankAccounts { totalCount } }" + " " * 700_000,
    "tokens": "{ nodes(ids: [" + '"a" ' * 6_000 + "]) { id } }",
    "comments": "{ bankAccounts { totalCount } }" + "#\n" * 1_001,
    "aliases": "{" + " ".join(f"a{n}: __typename" for n in range(201)) + "}",
    "1000 aliases": "{" + " ".join(f"a{n}: {ONE} {{ id }}" for n in range(1000)) + "}",
    "aliases in fragments": "{ ...A ...B } fragment A on Query {"
    + " ".join(f"a{n}: __typename" for n in range(101)) + "} fragment B on Query {"
    + " ".join(f"b{n}: __typename" for n in range(101)) + "}",
    "root fields": "{" + " ".join("...A" for _ in range(21)) + "} fragment A on Query {"
    + " ".join(f"a{n}: __typename" for n in range(10)) + "}",
    "mutation root fields": "mutation {" + " ".join(f"a{n}: {MUTATION}" for n in range(21)) + "}",
    "fields": "{ bankAccounts { " + "totalCount " * 2_001 + "} }",
    "same field 30 times": same_field(30),
    "same field 500 times": same_field(500),
    "same field on every level": "{"
    + repeated(["bankAccounts", "nodes", "balance"], 5)
    + "}",
    "same field in fragments": same_field_in_fragments(20, 20),
    "directives": "{ bankAccounts " + "@include(if: true) " * 51 + "{ totalCount } }",
    "10000 directives": "{ bankAccounts " + "@a " * 10_000 + "{ totalCount } }",
    "fragments": nested_fragments(101, 1),
    "fragment spreads": "{ bankAccounts { " + "...A " * 401 + "} } "
    "fragment A on BankAccountConnection { totalCount }",
    "operations": " ".join(f"query Q{n} {{ __typename }}" for n in range(11)),
    "variables": "query (" + " ".join(f"$v{n}: Int" for n in range(201)) + ") { __typename }",
    "depth": deep(16),
    "depth 190": deep(190),
    "depth 5000": deep(5000),
    "deep list": deep_list(4000),
    "depth through fragments": "{ bankAccounts { ...A } } fragment A on BankAccountConnection "
    "{ edges { node { connector { health { state " + "{ a " * 12 + "}" * 12 + "} } } } }",
    "depth of a fragment measured at a higher level": "{ bankAccounts { ...A edges { node {"
    + " a {" * 9
    + " ...A"
    + " }" * 9
    + "} } } } fragment A on BankAccountConnection { a { b { c { d } } } }",
    "introspection depth": "{ __schema { types { " + "ofType { " * 30 + "name" + "}" * 30 + "}}}",
    "introspection fields": '{ a: __type(name: "A") { name } b: __type(name: "A") { name }'
    ' c: __type(name: "A") { name } }',
    "introspection that doubles per fragment": doubled_fields(20),
    "cost of a page": "{ bankAccounts(first: 500) { nodes { "
    + " ".join(f"b{n}: balance {{ asOf freshness {{ state }} }}" for n in range(12)) + "} } }",
    "cost of fragments": nested_fragments(30),
    "cost of lists in fragments": nested_connections(20),
    "cost of histories": "{ bankAccounts(first: 60) { nodes { "
    'balanceHistory(from: "2026-01-01", to: "2026-12-31") { asOf } } } }',
    "cost of aliased totals": "{" + " ".join(
        f"t{n}: balanceTotals {{ currency missing {{ bankAccount {{ "
        'balanceHistory(from: "2026-01-01", to: "2026-01-31") { asOf } } } }'
        for n in range(40)) + "}",
}  # fmt: skip

ACCEPTED = {
    "a dashboard of a hundred aliases": dashboard(100),
    "fifty aliases without a fragment": "{"
    + " ".join(
        f'account{n}: bankAccount(id: "acct_{n}") '
        "{ id name balance { asOf bank { amount } } }"
        for n in range(50)
    )
    + "}",
    "nested fragments": nested_fragments(10),
    "a large screen of Relay with a fragment for each component": '{ nodes(ids: ["acct_1"]) { '
    + " ".join(f"...Part{n}" for n in range(80))
    + " } } "
    + " ".join(f"fragment Part{n} on BankAccount {{ part{n}: name }}" for n in range(80)),
    "a whole page": "{ bankAccounts(first: 500) { nodes { id name currency provider "
    "openingBalance { amount { amount } } balance { asOf bank { amount } ledger { amount } "
    "difference { amount } freshness { state ageSeconds } } } } }",
}


@pytest.fixture(scope="module")
def engine():
    return Engine(
        GatewayHarness().gateway, limits=Limits(cost_graphql_core=20_000, page_size=500, ids=500)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_document_beyond_a_limit_is_refused_quickly(engine: Engine, name):
    started = time.thread_time()

    with pytest.raises(RequestRefused) as refused:
        engine.prepare(GraphQLRequest(REFUSED[name]))

    assert time.thread_time() - started < REFUSAL_TIME_S
    [error] = refused.value.errors[:1]
    assert error["extensions"]["code"] in ("QUERY_TOO_EXPENSIVE", "BAD_USER_INPUT")
    assert len(refused.value.errors) <= 9


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("characters", "at most 65536 characters"),
        ("tokens", "at most 6000 tokens"),
        ("comments", "at most 1000 comments"),
        ("aliases", "at most 200 aliases"),
        ("aliases in fragments", "at most 200 aliases"),
        ("root fields", "at most 200 root fields"),
        ("mutation root fields", "at most 20 root fields of a mutation"),
        ("fields", "at most 2000 fields"),
        ("same field 30 times", "at most 400 pairs of fields with the same name"),
        ("same field in fragments", "at most 400 pairs of fields with the same name"),
        ("directives", "at most 50 directives"),
        ("fragments", "at most 100 fragments"),
        ("fragment spreads", "at most 400 fragment spreads"),
        ("operations", "at most 10 operations"),
        ("variables", "at most 200 variables"),
        ("depth", "at most 15 levels"),
        ("depth through fragments", "at most 15 levels"),
        ("depth of a fragment measured at a higher level", "at most 15 levels"),
        ("introspection depth", "levels"),
        ("introspection fields", "at most 2 introspection fields"),
        ("cost of a page", "at most 20000 fields"),
        ("cost of fragments", "at most 20000 fields"),
        ("cost of histories", "at most 20000 fields"),
    ],
)
def test_refusal_names_the_limit_and_the_next_step(engine: Engine, name, words):
    with pytest.raises(RequestRefused) as refused:
        engine.prepare(GraphQLRequest(REFUSED[name]))

    [error] = refused.value.errors
    assert words in error["message"]
    assert "Split the request." in error["message"] or "at a time." in error["message"]
    assert error["extensions"]["code"] == "QUERY_TOO_EXPENSIVE"


@pytest.mark.parametrize("name", ACCEPTED)
def test_typical_documents_are_within_the_limits(engine: Engine, name):
    engine.prepare(GraphQLRequest(ACCEPTED[name]))


def test_nested_fragments_are_measured_in_linear_time(engine: Engine):
    def seconds(levels: int) -> float:
        started = time.thread_time()
        with pytest.raises(RequestRefused):
            engine.prepare(GraphQLRequest(nested_fragments(levels)))
        return time.thread_time() - started

    assert seconds(49) < REFUSAL_TIME_S


def test_fragment_cycle_error_is_reported(engine: Engine):
    document = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"

    with pytest.raises(RequestRefused, match="Cannot spread fragment"):
        engine.prepare(GraphQLRequest(document))


SIZED = """query ($n: Int = 2, $ids: [ID!]!) {
  bankAccounts(first: $n) { nodes { id } } nodes(ids: $ids) { id } }"""


@pytest.mark.parametrize(
    ("variables", "cost"),
    [
        ({"ids": []}, 1 + 2 * 2 + 1),
        ({"n": 50, "ids": ["a"] * 7}, 1 + 50 * 2 + 1 + 7),
        ({"n": 10**9, "ids": "a"}, 1 + 500 * 2 + 1 + 1),
        ({"n": None, "ids": None}, 1 + 100 * 2 + 1 + 1),
        ({"n": "many", "ids": {}}, 1 + 100 * 2 + 1 + 1),
    ],
)
def test_cost_depends_on_variables(variables, cost):
    documents = Documents(build_core_schema(), Limits(page_size=500))
    prepared = documents.get_operation(SIZED, None)

    found = prepared.cost.total(apply_defaults(prepared.node, variables))

    assert found == cost


@pytest.mark.parametrize("first", [20, 21])
async def test_cost_is_checked_with_the_variables_of_the_request(first):
    harness = GatewayHarness([account("a")])
    query = "query ($n: Int!) { bankAccounts(first: $n) { nodes { id name } } }"

    async with open_client(harness, limits=Limits(cost_graphql_core=1 + 3 * 20)) as client:
        answer = await client.ask(query, {"n": first})

    assert ("errors" in answer) is (first > 20)


def test_cost_with_variables_is_linear_in_fragments(engine: Engine):
    """Variables size the innermost list; shared fragments are evaluated once."""
    document = nested_fragments(40).replace(
        "fragment F40 on BankAccount { id }",
        "fragment F40 on BankAccount { balanceHistory(from: $from, to: $to) { asOf } }",
    )
    variables = {"from": "2026-01-01", "to": "2026-01-31"}
    started = time.thread_time()

    with pytest.raises(RequestRefused, match="at most 20000 fields"):
        engine.prepare(GraphQLRequest(f"query ($from: Date!, $to: Date!) {document}", variables))

    assert time.thread_time() - started < REFUSAL_TIME_S


async def test_number_of_validation_errors_is_bounded(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask("{" + " ".join(f"no{n}" for n in range(100)) + "}")

    assert 1 < len(answer["errors"]) <= 9
    assert {error["extensions"]["code"] for error in answer["errors"]} == {
        "GRAPHQL_VALIDATION_FAILED"
    }


async def test_number_of_variable_errors_is_bounded(harness: GatewayHarness):
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    async with open_client(harness) as client:
        answer = await client.ask(query, {"ids": [None] * 500})

    assert 1 < len(answer["errors"]) <= 9


def test_document_cache_is_bounded_by_number_and_size():
    documents = Documents(
        build_core_schema(), Limits(cached_documents=3, cached_document_characters=200)
    )
    texts = [f"{{ a{n}: __typename }}" for n in range(5)]

    first = documents.get_operation(texts[0], None)
    assert documents.get_operation(texts[0], None) is first
    for text in texts:
        documents.get_operation(text, None)
    assert len(documents._cached) == 3
    assert documents.get_operation(texts[0], None) is not first

    documents.get_operation("{ __typename }" + " " * 180, None)
    assert documents._cached_characters <= 200
    documents.get_operation("{ __typename }" + " " * 500, None)
    assert documents._cached_characters == sum(map(len, documents._cached)) <= 200


def test_least_recently_used_document_is_evicted():
    documents = Documents(build_core_schema(), Limits(cached_documents=2))
    one, two, three = (f"{{ a{n}: __typename }}" for n in range(3))

    for text in (one, two, one, three):
        documents.get_operation(text, None)

    assert list(documents._cached) == [one, three]


def test_invalid_document_is_not_cached():
    documents = Documents(build_core_schema(), Limits())

    for _ in range(2):
        with pytest.raises(RequestRefused, match="Cannot query field"):
            documents.get_operation("{ nothing }", None)

    assert not documents._cached


@pytest.mark.parametrize(
    ("query", "operation_name", "words"),
    [
        ("query A { __typename } query B { __typename }", None, "Set operationName"),
        ("query A { __typename }", "B", "no operation named 'B'"),
        ("query A { __typename }", "", "no operation named ''"),
        ("fragment A on Query { __typename }", None, "never used"),
        ("subscription { a }", None, "subscription"),
        ("type A { a: Int }", None, "not executable"),
        ("", None, "Syntax Error"),
    ],
)
def test_document_without_the_operation_is_refused(engine, query, operation_name, words):
    with pytest.raises(RequestRefused, match=words):
        engine.prepare(GraphQLRequest(query, None, operation_name))


async def test_named_operation_is_executed(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(
            "query A { a: __typename } mutation B { b: __typename }", operationName="B", key=ADMIN
        )

    assert data == {"b": "Mutation"}

"""The field ``bankAccounts``: pages and filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.connection import (
    Window,
    build_connection,
    decode_cursor,
    encode_cursor,
    find_page,
)
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.account_order import AccountOrder
from tests.api.fakes import OTHER, GatewayHarness, account, open_client

MAX = Limits().page_size
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)

PAGE = """query ($first: Int, $after: String, $filter: BankAccountFilter) {
  bankAccounts(first: $first, after: $after, filter: $filter) {
    totalCount edges { cursor node { id } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@given(st.sets(IDS, max_size=40), st.integers(min_value=1, max_value=12))
def test_consecutive_pages_cover_the_whole_list(ids, first):
    accounts = [account(each) for each in sorted(ids)]
    seen, after, more = [], None, True

    while more:
        page = build_connection(accounts, Window(first, after))
        assert page.page_info.has_previous_page is bool(seen)
        seen += [node.id for node in page.nodes]
        after, more = page.page_info.end_cursor, page.page_info.has_next_page
        assert len(page.nodes) <= first

    assert seen == sorted(ids)


@given(st.sets(IDS, min_size=2, max_size=20), st.data())
def test_cursor_of_a_removed_account_stays_valid(ids, data):
    gone = data.draw(st.sampled_from(sorted(ids)))
    accounts = [account(each) for each in sorted(ids - {gone})]

    page = build_connection(accounts, Window(500, encode_cursor(gone)))

    assert [node.id for node in page.nodes] == [each for each in sorted(ids) if each > gone]


@given(IDS)
def test_cursor_round_trips(account_id):
    assert decode_cursor(encode_cursor(account_id)) == account_id


@given(st.text(max_size=40))
def test_other_text_is_rejected_as_cursor(text):
    with pytest.raises(BadInput, match="must be a cursor"):
        decode_cursor(text)


@pytest.mark.parametrize(
    "cursor", ["", "acct_yen", "YTE6", encode_cursor("acct_yen") + "=", "💶", "%"]
)
async def test_invalid_cursor_error_names_after(harness: GatewayHarness, cursor):
    async with open_client(harness) as client:
        answer = await client.ask(PAGE, {"first": 2, "after": cursor})

    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["field"] == "after"
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_page_info_describes_the_position(harness: GatewayHarness):
    async with open_client(harness) as client:
        first = await client.data(PAGE, {"first": 2})
        after = first["bankAccounts"]["pageInfo"]["endCursor"]
        last = await client.data(PAGE, {"first": 3, "after": after})

    page = first["bankAccounts"]
    assert page["totalCount"] == 5
    assert [edge["node"]["id"] for edge in page["edges"]] == ["acct_card", "acct_dinar"]
    assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
    assert page["pageInfo"]["hasNextPage"] is True
    assert page["pageInfo"]["hasPreviousPage"] is False
    page = last["bankAccounts"]
    assert page["nodes"] == [
        {"id": "acct_operating"}, {"id": "acct_savings"}, {"id": "acct_yen"},
    ]  # fmt: skip
    assert page["pageInfo"]["hasNextPage"] is False
    assert page["pageInfo"]["hasPreviousPage"] is True


async def test_tenant_without_accounts_gets_an_empty_page():
    harness = GatewayHarness([])

    async with open_client(harness) as client:
        data = await client.data(PAGE, {})

    assert data["bankAccounts"] == {
        "totalCount": 0, "edges": [], "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False,
                     "startCursor": None, "endCursor": None},
    }  # fmt: skip


@pytest.mark.parametrize("first", [-1, MAX + 1, 2**31 - 1])
async def test_first_out_of_range_is_rejected(harness: GatewayHarness, first):
    async with open_client(harness) as client:
        answer = await client.ask(PAGE, {"first": first})

    assert answer["errors"][0]["extensions"]["field"] == "first"
    assert f"0 to {MAX}" in answer["errors"][0]["message"]


async def test_first_defaults_to_one_hundred():
    harness = GatewayHarness([account(f"a{index:03}") for index in range(150)])

    async with open_client(harness) as client:
        for variables in ({}, {"first": None}):
            data = await client.data(PAGE, variables)
            assert len(data["bankAccounts"]["nodes"]) == 100


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["acct_card", "acct_dinar", "acct_operating", "acct_savings", "acct_yen"]),
        ({"ids": []}, []),
        ({"ids": ["acct_yen", "acct_foreign", "nothing"]}, ["acct_yen"]),
        ({"ids": None, "providers": ["ASSET"]}, ["acct_card"]),
        ({"connectors": ["light_eu"], "currencies": ["EUR"]}, ["acct_operating", "acct_savings"]),
        ({"nameContains": "eur"}, ["acct_operating", "acct_savings"]),
    ],
)
async def test_accounts_match_every_filter_condition(harness: GatewayHarness, conditions, expected):
    async with open_client(harness) as client:
        data = await client.data(PAGE, {"filter": conditions})

    assert [node["id"] for node in data["bankAccounts"]["nodes"]] == expected


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"ids": ["a"] * (Limits().ids + 1)}, "filter.ids"),
        ({"nameContains": "a" * 201}, "filter.nameContains"),
        ({"currencies": ["EUR"] * (Limits().ids + 1)}, "filter.currencies"),
    ],
)
async def test_oversized_filter_is_rejected(harness: GatewayHarness, conditions, field):
    async with open_client(harness) as client:
        answer = await client.ask(PAGE, {"filter": conditions})

    assert answer["errors"][0]["extensions"]["field"] == field
    assert field in answer["errors"][0]["message"]


async def test_tenant_sees_only_its_own_accounts(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(PAGE, {}, key=OTHER)

    assert data["bankAccounts"]["nodes"] == [{"id": "acct_foreign"}]


async def test_first_zero_is_an_empty_page(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(
            "{ bankAccounts(first: 0) { totalCount nodes { id } "
            "pageInfo { hasNextPage endCursor } } }"
        )

    page = {"totalCount": 5, "nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}
    assert data["bankAccounts"] == page


async def test_an_empty_cursor_is_an_error_of_the_field(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask('{ bankAccounts(after: "") { totalCount } }')

    [error] = answer["errors"]
    assert error["path"] == ["bankAccounts"]
    assert error["extensions"]["field"] == "after"


def test_a_page_knows_its_position_in_the_whole_list():
    accounts = [account(f"a{number}") for number in range(5)]

    pages = [
        find_page(accounts, Window(2, after))
        for after in (None, encode_cursor("a1"), encode_cursor("a3"))
    ]

    assert [(page.start, page.has_previous, page.has_next) for page in pages] == [
        (0, False, True), (2, True, True), (4, True, False),
    ]  # fmt: skip
    assert [[each.id for each in page.accounts] for page in pages] == [
        ["a0", "a1"],
        ["a2", "a3"],
        ["a4"],
    ]
    assert {page.total for page in pages} == {5}


def test_a_page_of_nothing_has_a_position():
    accounts = [account("a"), account("b")]

    assert find_page(accounts, Window(0)).has_next
    assert find_page(accounts, Window(9, encode_cursor("b"))).accounts == []
    assert find_page([], Window(5)).total == 0


BACKWARDS = """query ($last: Int, $before: String, $orderBy: BankAccountOrder) {
  bankAccounts(last: $last, before: $before, orderBy: $orderBy) {
    nodes { id name } pageInfo { hasNextPage hasPreviousPage startCursor } } }"""


@pytest.mark.parametrize("order", [None, *AccountOrder])
async def test_pages_from_the_end_cover_the_whole_list(harness: GatewayHarness, order):
    chosen = {} if order is None else {"orderBy": order.name}
    seen, before, more = [], None, True

    async with open_client(harness) as client:
        whole = await client.data(BACKWARDS, {"last": 100, **chosen})
        while more:
            data = await client.data(BACKWARDS, {"last": 2, "before": before, **chosen})
            page = data["bankAccounts"]
            assert page["pageInfo"]["hasNextPage"] is bool(seen)
            seen = [*page["nodes"], *seen]
            before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]

    assert len(seen) == 5
    assert seen == whole["bankAccounts"]["nodes"]


@given(
    st.integers(0, 6),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 6),
    st.sampled_from(AccountOrder),
    st.booleans(),
)
def test_a_window_is_a_slice_of_the_list(size, after, before, order, is_from_end):
    accounts = order.sort([account(f"a{number}", name=f"n{number % 3}") for number in range(7)])
    edges = build_connection(accounts, Window(7), order).edges
    window = Window(
        first=None if is_from_end else size,
        after=None if after is None else edges[after].cursor,
        last=size if is_from_end else None,
        before=None if before is None else edges[before].cursor,
    )

    page = find_page(accounts, window, order)

    start, end = 0 if after is None else after + 1, 7 if before is None else before
    expected = list(accounts[start:end])
    expected = expected[max(0, len(expected) - size) :] if is_from_end else expected[:size]
    assert list(page.accounts) == expected


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ("first: 2, last: 2", "last"),
        ("last: -1", "last"),
        (f"last: {MAX + 1}", "last"),
        ('before: ""', "before"),
        (f'after: "{encode_cursor("a1")}", orderBy: NAME', "after"),
        ('before: "eA", orderBy: NAME', "before"),
        (f'before: "{"A" * 5000}", orderBy: NAME', "before"),
    ],
)
async def test_a_wrong_window_is_refused(harness: GatewayHarness, arguments, field):
    async with open_client(harness) as client:
        answer = await client.ask(f"{{ bankAccounts({arguments}) {{ totalCount }} }}")

    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == field


async def test_a_variable_for_first_that_is_left_out_allows_last(harness: GatewayHarness):
    query = "query ($first: Int) { bankAccounts(first: $first, last: 2) { nodes { id } } }"
    async with open_client(harness) as client:
        data = await client.data(query)
        refused = await client.ask(query, {"first": 1})

    assert len(data["bankAccounts"]["nodes"]) == 2
    assert refused["errors"][0]["extensions"]["field"] == "last"

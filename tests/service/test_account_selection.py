"""Selections by a filter: equal to testing each account, in any order, and kept within a bound."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.service import directory as directory_module
from balance_gateway.service.account_index import AccountFilter
from balance_gateway.service.account_order import AccountOrder
from balance_gateway.service.directory import Connector, Directory
from tests.service.fakes import ADMIN, EVERYTHING, account

CONNECTORS = ("books", "light_eu", "layer_us", "unknown")
CURRENCIES = ("EUR", "USD", "JPY", "XXX")
#: Letters that grow or join when folded, and the separator of the joined names.
LETTERS = "aAbß\u0130\u017fs\n\u00c9"

names = st.text(LETTERS, max_size=5)
some_accounts = st.lists(
    st.builds(
        account,
        st.text("abc", min_size=1, max_size=3),
        tenant=st.sampled_from(("acme", "globex")),
        connector=st.sampled_from(CONNECTORS[:3]),
        provider=st.sampled_from(tuple(ProviderKind)),
        currency=st.sampled_from(CURRENCIES[:3]),
        name=names,
    ),
    unique_by=lambda each: each.id,
    max_size=30,
)


def some_of(values: Sequence[object]) -> st.SearchStrategy[tuple[object, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), max_size=4).map(tuple)


filters = st.fixed_dictionaries(
    {
        "ids": st.none() | st.lists(st.text("abcd", max_size=3), max_size=20).map(tuple),
        "connectors": some_of(CONNECTORS),
        "providers": some_of(tuple(ProviderKind)),
        "currencies": some_of(CURRENCIES),
        "name_contains": st.none() | st.text(LETTERS, max_size=3),
    }
)


def select_slowly(accounts: Sequence[Account], principal: Principal, wanted: dict) -> list[Account]:
    """Test each account by each criterion, as a definition of the filter."""
    part = wanted["name_contains"]
    return [
        each
        for each in sorted(accounts, key=lambda each: each.id)
        if each.tenant == principal.tenant
        and (wanted["ids"] is None or each.id in wanted["ids"])
        and (wanted["connectors"] is None or each.connector in wanted["connectors"])
        and (wanted["providers"] is None or each.provider in wanted["providers"])
        and (wanted["currencies"] is None or each.currency in wanted["currencies"])
        and (part is None or part.casefold() in each.name.casefold())
    ]


@given(some_accounts, st.lists(filters, min_size=1, max_size=4), names)
def test_a_selection_equals_testing_each_account(accounts, wanted, part) -> None:
    directory = Directory(accounts, [])
    wanted.append({**dict.fromkeys(wanted[0]), "name_contains": part})

    for principal in (ADMIN, Principal("other", "globex", frozenset())):
        for each in (*wanted, *wanted):
            selected = directory.select(principal, AccountFilter(**each))
            assert list(selected) == select_slowly(accounts, principal, each)
            assert [one for one in accounts if AccountFilter(**each).matches(one)] == [
                one
                for one in accounts
                if one in select_slowly(accounts, replace(principal, tenant=one.tenant), each)
            ]


@given(filters)
def test_order_repetition_and_case_make_no_other_filter(wanted) -> None:
    changed = {
        name: value if value is None or name == "name_contains" else (*reversed(value), *value)
        for name, value in wanted.items()
    }
    part = wanted["name_contains"]
    changed["name_contains"] = part and part.casefold()

    one, other = AccountFilter(**wanted), AccountFilter(**changed)

    assert one == other
    assert hash(one) == hash(other)


def test_an_empty_part_of_a_name_is_no_criterion() -> None:
    assert AccountFilter(name_contains="") == AccountFilter()
    assert AccountFilter(ids=()) != AccountFilter()


def build_directory() -> Directory:
    accounts = [account(f"a{n:03}", name=f"Name {n % 10}") for n in range(100)]
    return Directory([*accounts, account("z", tenant="globex", name="Name 7")], [])


def test_an_equal_filter_returns_the_kept_selection() -> None:
    directory = build_directory()

    first = directory.select(ADMIN, AccountFilter(name_contains="name 7"))
    again = directory.select(ADMIN, AccountFilter(name_contains="NAME 7"))
    theirs = directory.select(
        Principal("other", "globex", frozenset()), AccountFilter(name_contains="name 7")
    )

    assert len(first) == 10
    assert again is first
    assert isinstance(first, tuple)
    assert [each.id for each in theirs] == ["z"]


def test_kept_selections_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "SELECTION_BYTES_MAX", 20_000)
    directory = build_directory()
    kept = directory._selections

    for number in range(200):
        directory.select(ADMIN, AccountFilter(currencies=[f"A{number}", "unknown" * 10]))

    assert 5 < len(kept._kept) <= 20
    assert 0 < kept._bytes <= 20_000
    # The least recently used ones are dropped first.
    directory.select(ADMIN, AccountFilter(currencies=["A1"]))
    for number in range(200, 210):
        directory.select(ADMIN, AccountFilter(currencies=["A1"]))
        directory.select(ADMIN, AccountFilter(currencies=[f"A{number}"]))
    assert ("acme", AccountFilter(currencies=["A1"]), AccountOrder.ID) in kept._kept
    size = sum(directory_module._measure_bytes(key[1], found) for key, found in kept._kept.items())
    assert kept._bytes == size


def test_a_filter_with_long_texts_is_not_kept() -> None:
    """A request of 1 MB may name things that do not exist; keeping it would cost all the others."""
    directory = build_directory()

    for criterion in ("connectors", "currencies"):
        directory.select(ADMIN, AccountFilter(**{criterion: ["x" * 2_000_000]}))

    assert not directory._selections._kept


def test_the_largest_tenant_is_counted() -> None:
    assert build_directory().count_largest_tenant() == 100
    assert (
        Directory([], [Connector("books", ProviderKind.LOCAL, EVERYTHING)]).count_largest_tenant()
        == 0
    )

"""Accounts in orders, and places between them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.service.account_order import AccountOrder
from tests.service.fakes import account

ACCOUNTS = st.lists(
    st.builds(
        account,
        st.text("abc", min_size=1, max_size=2),
        name=st.sampled_from(("x", "X", "y", "Z")),
        currency=st.sampled_from(("EUR", "USD")),
        provider=st.sampled_from(tuple(ProviderKind)),
        connector=st.sampled_from(("main", "other")),
    ),
    unique_by=lambda each: each.id,
    max_size=8,
)


@given(ACCOUNTS, st.sampled_from(AccountOrder))
def test_an_order_sorts_by_its_key_then_by_id(accounts, order) -> None:
    found = order.sort(sorted(accounts, key=lambda each: each.id))

    keys = [order.get_key(each) for each in found]
    assert keys == sorted(keys, reverse=order.name.endswith("_DESC"))
    for one, next_one in itertools.pairwise(found):
        assert order.get_key(one) != order.get_key(next_one) or one.id < next_one.id
    assert {each.id for each in found} == {each.id for each in accounts}


@given(ACCOUNTS, st.sampled_from(AccountOrder))
def test_the_later_accounts_are_those_behind_in_the_list(accounts, order) -> None:
    found = order.sort(sorted(accounts, key=lambda each: each.id))

    for position, one in enumerate(found):
        later = [each for each in found if order.is_later(each, order.get_key(one), one.id)]
        assert later == list(found[position + 1 :])


def test_names_are_sorted_ignoring_case() -> None:
    accounts = [account("a", name="beta"), account("b", name="Alpha"), account("c", name="alpha")]

    assert [each.id for each in AccountOrder.NAME.sort(accounts)] == ["b", "c", "a"]

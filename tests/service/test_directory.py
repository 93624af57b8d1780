"""Tests account look-ups within a tenant."""

from collections.abc import Sequence
from typing import Any

import pytest

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.errors import AccountNotFound
from balance_gateway.service.account_index import AccountFilter
from balance_gateway.service.directory import Connector, Directory
from tests.service.fakes import ADMIN, EVERYTHING, account

OTHER = Principal("other", "globex", frozenset())
NO_ACCOUNTS = Principal("no-accounts", "initech", frozenset())


@pytest.fixture
def directory() -> Directory:
    light, local = ProviderKind.LIGHT, ProviderKind.LOCAL
    return Directory(
        [
            account("c", connector="light_eu", provider=light, name="Straße EUR"),
            account("a", connector="books", provider=local, currency="USD", name="Cash"),
            account("b", connector="light_eu", provider=light, currency="USD", name="Payroll"),
            account("z", connector="layer_us", tenant="globex", name="Cash"),
        ],
        [
            Connector("light_eu", light, EVERYTHING),
            Connector("books", local, EVERYTHING),
            Connector("layer_us", ProviderKind.LAYER, EVERYTHING),
        ],
    )


def ids(accounts: Sequence[Account]) -> str:
    return "".join(account.id for account in accounts)


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ({}, "abc"),
        pytest.param({"ids": frozenset(("c", "a", "unknown", "z"))}, "ac", id="some ids"),
        ({"ids": frozenset()}, ""),
        ({"connectors": ("light_eu",)}, "bc"),
        ({"connectors": ("layer_us",)}, ""),
        ({"providers": (ProviderKind.LOCAL,)}, "a"),
        ({"providers": ()}, ""),
        ({"currencies": ("USD", "GBP")}, "ab"),
        ({"name_contains": "PAY"}, "b"),
        ({"name_contains": "STRASSE"}, "c"),
        ({"name_contains": "straße"}, "c"),
        ({"name_contains": ""}, "abc"),
        ({"name_contains": "ca", "currencies": ("USD",)}, "a"),
        ({"name_contains": "ca", "currencies": ("EUR",)}, ""),
    ],
    ids=str,
)
def test_a_filter_selects_accounts_that_match_all_criteria(
    directory: Directory, criteria: dict[str, Any], found: str
) -> None:
    selected = directory.select(ADMIN, AccountFilter(**criteria))

    assert ids(selected) == found


def test_every_look_up_is_limited_to_one_tenant(directory: Directory) -> None:
    assert (ids(directory.select(ADMIN)), ids(directory.select(OTHER))) == ("abc", "z")
    assert list(directory.accounts_for(OTHER)) == ["z"]
    assert list(directory.select(NO_ACCOUNTS)) == []
    assert [one.id for one in directory.connectors_for(ADMIN)] == ["books", "light_eu"]
    assert [one.id for one in directory.connectors_for(OTHER)] == ["layer_us"]


@pytest.mark.parametrize("account_id", ["z", "unknown", ""])
def test_an_account_of_another_tenant_does_not_exist(directory: Directory, account_id: str) -> None:
    with pytest.raises(AccountNotFound) as caught:
        directory.account(ADMIN, account_id)

    assert caught.value.message == "There is no such account."
    assert caught.value.account_id == account_id


def test_an_account_of_the_own_tenant_is_found(directory: Directory) -> None:
    assert directory.account(ADMIN, "b").name == "Payroll"
    assert directory.account(OTHER, "z").tenant == "globex"


def test_configured_accounts_are_found_without_a_caller(directory: Directory) -> None:
    assert directory.find_account("globex", "z") is not None
    assert directory.find_account("acme", "z") is None
    assert directory.find_account("initech", "a") is None
    assert directory.connector("books").provider is ProviderKind.LOCAL


def test_a_connector_of_a_tenant_is_listed_to_it_alone() -> None:
    local = ProviderKind.LOCAL
    directory = Directory(
        [account("a", connector="shared")],
        [
            Connector("shared", local, EVERYTHING),
            Connector("own", local, EVERYTHING, frozenset({"acme", "initech"})),
            Connector("theirs", local, EVERYTHING, frozenset({"globex"})),
        ],
    )

    listed = [
        [one.id for one in directory.connectors_for(caller)]
        for caller in (ADMIN, NO_ACCOUNTS, OTHER)
    ]

    # Before its first account a tenant sees what is configured for it.
    assert listed == [["own", "shared"], ["own"], ["theirs"]]

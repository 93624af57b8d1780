"""Tests account look-ups within a tenant and totals per currency."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import AccountNotFound, ProviderTimeout, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from balance_gateway.service.balances import compute_totals
from balance_gateway.service.directory import AccountFilter, Connector, Directory
from tests.service.fakes import ADMIN, EVERYTHING, account

OTHER = Principal("other", "globex", frozenset())
NO_ACCOUNTS = Principal("no-accounts", "initech", frozenset())
DAY = date(2026, 5, 7)
AT = datetime(2026, 5, 7, 12, tzinfo=UTC)


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


def ids(accounts: list[Account]) -> str:
    return "".join(account.id for account in accounts)


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ({}, "abc"),
        ({"ids": frozenset(("c", "a", "unknown", "z"))}, "ac"),
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
    assert directory.select(NO_ACCOUNTS) == []
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


def row(
    account_id: str, currency: str, bank: int | None, ledger: int | None, age_s: float = 0
) -> tuple[BalanceRequest, Any]:
    figures = BalanceFigures(
        DAY,
        None if bank is None else Money(bank, currency),
        None if ledger is None else Money(ledger, currency),
    )
    observed = Observed(figures, AT - timedelta(seconds=age_s), FreshnessState.LIVE)
    return BalanceRequest(account(account_id, currency=currency), DAY, True), observed


def totals_of(*rows: tuple[BalanceRequest, Any]) -> list[Any]:
    return compute_totals([request for request, _ in rows], [answer for _, answer in rows])


def test_totals_are_separate_per_currency() -> None:
    euro, yen = totals_of(
        row("a", "JPY", 5, 7), row("b", "EUR", 10**30, -3), row("c", "EUR", 1, -4)
    )

    assert (euro.currency, yen.currency) == ("EUR", "JPY")
    assert (euro.bank, euro.ledger) == (Money(10**30 + 1, "EUR"), Money(-7, "EUR"))
    assert (yen.bank, yen.ledger) == (Money(5, "JPY"), Money(7, "JPY"))
    assert (euro.included, euro.complete) == (2, True)


def test_unknown_figures_are_not_summed_as_zero() -> None:
    (euro,) = totals_of(
        row("a", "EUR", None, 7), row("b", "EUR", 0, None), row("c", "EUR", None, 1)
    )
    (none,) = totals_of(row("a", "EUR", None, None))

    assert (euro.bank, euro.bank_included) == (Money(0, "EUR"), 1)
    assert (euro.ledger, euro.ledger_included, euro.included) == (Money(8, "EUR"), 2, 3)
    assert (none.bank, none.ledger, none.included, none.bank_included) == (None, None, 1, 0)


def test_failed_accounts_are_listed_with_their_error_code() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderTimeout("late")
    (euro,) = totals_of(row("a", "EUR", 1, 1), failed)

    assert not euro.complete
    assert [(one.account.id, one.code) for one in euro.missing] == [("b", "PROVIDER_TIMEOUT")]
    assert (euro.included, euro.bank) == (1, Money(1, "EUR"))


def test_a_currency_with_only_failed_accounts_has_a_total_without_sum() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderUnavailable("down")

    (euro,) = totals_of(failed)

    assert (euro.bank, euro.ledger, euro.included) == (None, None, 0)
    assert euro.oldest_observed_at is None


def test_a_total_is_as_old_as_its_oldest_value() -> None:
    (euro,) = totals_of(row("a", "EUR", 1, 1, 5), row("b", "EUR", 1, 1, 90), row("c", "EUR", 1, 1))

    assert euro.oldest_observed_at == AT - timedelta(seconds=90)


def test_without_accounts_there_are_no_totals() -> None:
    assert compute_totals([], []) == []

"""Which accounts a caller can see, and totals that list the accounts they lack."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import (
    BalanceFigures,
)
from balance_gateway.domain.errors import AccountNotFound, ProviderTimeout, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import (
    BalanceRequest,
    FreshnessState,
    Observed,
)
from balance_gateway.service.balances import compute_totals
from balance_gateway.service.directory import AccountFilter, Connector, Directory
from tests.service.fakes import ADMIN, EVERYTHING, account

OTHER = Principal("other", "globex", frozenset())
NOBODY = Principal("nobody", "initech", frozenset())
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
    return "".join(one.id for one in accounts)


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ({}, "abc"),
        ({"ids": frozenset(("c", "a", "nobody", "z"))}, "ac"),
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
def test_a_filter_takes_what_fulfils_all_of_it(
    directory: Directory, criteria: dict[str, Any], found: str
) -> None:
    selected = directory.select(ADMIN, AccountFilter(**criteria))

    assert ids(selected) == found


def test_every_look_up_is_within_one_tenant(directory: Directory) -> None:
    assert (ids(directory.select(ADMIN)), ids(directory.select(OTHER))) == ("abc", "z")
    assert list(directory.accounts_of(OTHER)) == ["z"]
    assert directory.select(NOBODY) == []
    assert [one.id for one in directory.connectors_of(ADMIN)] == ["books", "light_eu"]
    assert [one.id for one in directory.connectors_of(OTHER)] == ["layer_us"]


@pytest.mark.parametrize("account_id", ["z", "nobody", ""])
def test_another_tenants_account_is_answered_like_none(
    directory: Directory, account_id: str
) -> None:
    with pytest.raises(AccountNotFound) as caught:
        directory.account(ADMIN, account_id)

    assert caught.value.message == "There is no such account."
    assert caught.value.account_id == account_id


def test_an_account_of_ones_own_is_found(directory: Directory) -> None:
    assert directory.account(ADMIN, "b").name == "Payroll"
    assert directory.account(OTHER, "z").tenant == "globex"


def test_the_gateway_itself_finds_accounts_that_are_still_configured(directory: Directory) -> None:
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


def total_of(*rows: tuple[BalanceRequest, Any]) -> list[Any]:
    return compute_totals([request for request, _ in rows], [answer for _, answer in rows])


def test_totals_are_per_currency_and_never_mixed() -> None:
    euro, yen = total_of(row("a", "JPY", 5, 7), row("b", "EUR", 10**30, -3), row("c", "EUR", 1, -4))

    assert (euro.currency, yen.currency) == ("EUR", "JPY")
    assert (euro.bank, euro.ledger) == (Money(10**30 + 1, "EUR"), Money(-7, "EUR"))
    assert (yen.bank, yen.ledger) == (Money(5, "JPY"), Money(7, "JPY"))
    assert (euro.included, euro.complete) == (2, True)


def test_figures_that_are_unknown_are_not_zero_and_are_counted() -> None:
    (euro,) = total_of(row("a", "EUR", None, 7), row("b", "EUR", 0, None), row("c", "EUR", None, 1))
    (none,) = total_of(row("a", "EUR", None, None))

    assert (euro.bank, euro.bank_included) == (Money(0, "EUR"), 1)
    assert (euro.ledger, euro.ledger_included, euro.included) == (Money(8, "EUR"), 2, 3)
    assert (none.bank, none.ledger, none.included, none.bank_included) == (None, None, 1, 0)


def test_what_could_not_be_read_is_named_with_its_reason() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderTimeout("late")
    (euro,) = total_of(row("a", "EUR", 1, 1), failed)

    assert not euro.complete
    assert [(one.account.id, one.code) for one in euro.missing] == [("b", "PROVIDER_TIMEOUT")]
    assert (euro.included, euro.bank) == (1, Money(1, "EUR"))


def test_a_currency_whose_every_account_failed_has_no_sum_and_is_still_there() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderUnavailable("down")

    (euro,) = total_of(failed)

    assert (euro.bank, euro.ledger, euro.included) == (None, None, 0)
    assert euro.oldest_observed_at is None


def test_a_total_is_as_old_as_its_oldest_part() -> None:
    (euro,) = total_of(row("a", "EUR", 1, 1, 5), row("b", "EUR", 1, 1, 90), row("c", "EUR", 1, 1))

    assert euro.oldest_observed_at == AT - timedelta(seconds=90)


def test_no_accounts_are_no_totals() -> None:
    assert compute_totals([], []) == []

"""Tests the embedded ledger through the provider port."""

from datetime import UTC, date, datetime

import pytest

from balance_gateway.domain.accounts import Capability, ProviderKind
from balance_gateway.domain.balances import (
    BalanceQuery,
    MissingReason,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import (
    BadInput,
    ProviderBadResponse,
    ProviderRejected,
    ProviderUnavailable,
)
from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.domain.money import Money
from balance_gateway.providers.local.provider import LocalProvider

DAY = date(2026, 1, 10)


@pytest.fixture
def provider(store):
    return LocalProvider("books", store)


def opening(account, minor_units, **more):
    fields = {"effective_at": datetime(2026, 1, 1, tzinfo=UTC), **more}
    return OpeningBalanceWrite(account, Money(minor_units, account.currency), **fields)


def test_the_provider_has_every_capability(provider):
    assert provider.kind is ProviderKind.LOCAL
    assert provider.connector == "books"
    assert provider.capabilities == frozenset(Capability) - {Capability.READ_BANK_FEED}


async def test_without_opening_balance_only_the_ledger_balance_is_known(provider, account):
    (figures,) = await provider.balances([BalanceQuery(account, DAY)])

    assert (figures.bank, figures.ledger) == (None, Money(0, "EUR"))
    assert figures.bank_missing is MissingReason.NO_OPENING_BALANCE


async def test_bank_balance_is_opening_balance_plus_transactions_from_its_day(
    provider, store, account
):
    """The opening balance contains what happened before its own day."""
    await provider.set_opening_balance(opening(account, 1_000))
    await store.add_entries(
        account,
        [
            Entry("before", Book.BANK, date(2025, 12, 31), 7),
            Entry("opening day", Book.BANK, date(2026, 1, 1), 5),
            Entry("on", Book.BANK, DAY, -30),
            Entry("after", Book.BANK, date(2026, 1, 11), 500),
            Entry("on", Book.LEDGER, DAY, 900),
        ],
    )

    (figures,) = await provider.balances([BalanceQuery(account, DAY)])

    assert (figures.bank, figures.ledger) == (Money(975, "EUR"), Money(900, "EUR"))
    assert figures.difference == Money(75, "EUR")
    assert (figures.bank_missing, figures.difference_missing) == (None, None)


async def test_before_the_opening_day_there_is_no_bank_balance(provider, store, account):
    """Opening 1000 on 2026-01-01, −200 on 2025-12-15: 800 on 2026-01-01, and 1000 in 2020."""
    await provider.set_opening_balance(opening(account, 1_000))
    await store.add_entries(account, [Entry("early", Book.BANK, date(2025, 12, 15), -200)])
    days = (date(2020, 1, 1), date(2025, 12, 31), date(2026, 1, 1))

    early, eve, first = await provider.balances([BalanceQuery(account, day) for day in days])

    assert (early.bank, eve.bank, first.bank) == (None, None, Money(1_000, "EUR"))
    for figures in (early, eve):
        assert figures.bank_missing is figures.difference_missing is MissingReason.BEFORE_OPENING
    assert first.bank_missing is None


async def test_a_zero_opening_balance_makes_the_bank_balance_known(provider, account):
    await provider.set_opening_balance(opening(account, 0))

    (figures,) = await provider.balances([BalanceQuery(account, DAY)])

    assert figures.bank == Money(0, "EUR")


async def test_all_accounts_and_days_are_one_group_in_order(provider, store, make_account):
    accounts = [make_account("yen", "JPY"), make_account("dinar", "KWD"), make_account("euro")]
    for number, one in enumerate(accounts):
        await store.add_entries(one, [Entry("a", Book.LEDGER, DAY, number)])
    queries = [BalanceQuery(one, DAY) for one in reversed(accounts)]
    queries.append(BalanceQuery(accounts[0], date(2020, 1, 1)))

    figures = await provider.balances(queries)

    assert len({provider.balance_group(query) for query in queries}) == 1
    assert [(one.ledger.minor_units, one.ledger.currency) for one in figures] == [
        (2, "EUR"),
        (1, "KWD"),
        (0, "JPY"),
        (0, "JPY"),
    ]


async def test_an_opening_balance_has_the_provider_as_its_source(provider, account, clock):
    assert await provider.opening_balance(account) is None

    answered = await provider.set_opening_balance(
        opening(account, -500, effective_at=None, memo="m", reference_number="r")
    )

    assert answered.source is OpeningBalanceSource.PROVIDER
    assert answered.effective_at == clock()
    assert await provider.opening_balance(account) == answered


async def test_several_opening_balances_are_those_of_each_account(provider, make_account):
    """In order, with the error of one account beside the others."""
    await provider.set_opening_balance(opening(make_account("euro"), 7))
    await provider.set_opening_balance(opening(make_account("changed"), 8))
    accounts = [make_account("none"), make_account("changed", "USD"), make_account("euro")]

    none, changed, euro = await provider.opening_balances(accounts)

    assert none is None
    assert isinstance(changed, ProviderBadResponse)
    assert changed.account_id == "changed"
    assert euro == await provider.opening_balance(accounts[2])


async def test_another_currency_is_rejected(provider, account):
    write = OpeningBalanceWrite(account, Money(1, "USD"), None)

    with pytest.raises(BadInput) as caught:
        await provider.set_opening_balance(write)

    assert caught.value.field == "amount"


async def test_an_opening_balance_in_a_former_currency_is_an_error(provider, account, make_account):
    await provider.set_opening_balance(opening(account, 1))

    with pytest.raises(ProviderBadResponse, match=r"EUR.*USD"):
        await provider.opening_balance(make_account(currency="USD"))


async def test_figures_in_a_former_currency_are_an_error(provider, account, make_account):
    """1000.00 EUR once became 100000 JPY, and a total in JPY was complete with it."""
    await provider.set_opening_balance(opening(account, 1_000_00))
    yen = make_account(currency="JPY")

    other = make_account("other", "JPY")
    results = await provider.balances([BalanceQuery(yen, DAY), BalanceQuery(other, DAY)])

    assert isinstance(results[0], ProviderBadResponse)
    assert (results[0].account_id, results[0].provider) == (account.id, "LOCAL")
    assert "set the opening balance again, or configure EUR" in results[0].message
    assert (results[1].bank, results[1].ledger) == (None, Money(0, "JPY"))


async def test_setting_the_opening_balance_again_follows_a_change_of_currency(
    provider, account, make_account
):
    await provider.set_opening_balance(opening(account, 1_000_00))
    yen = make_account(currency="JPY")

    await provider.set_opening_balance(opening(yen, 7))

    (figures,) = await provider.balances([BalanceQuery(yen, DAY)])
    assert figures.bank == Money(7, "JPY")
    assert (await provider.opening_balance(yen)).amount == Money(7, "JPY")


async def test_entries_keep_their_currency_when_the_account_changes_it(
    provider, store, account, make_account
):
    await store.add_entries(account, [Entry("a", Book.LEDGER, DAY, 900)])
    yen = make_account(currency="JPY")

    (result,) = await provider.balances([BalanceQuery(yen, DAY)])
    with pytest.raises(ProviderRejected, match="entries are in EUR") as caught:
        await provider.set_opening_balance(opening(yen, 7))

    assert isinstance(result, ProviderBadResponse)
    assert "configure EUR" in result.message
    assert not caught.value.maybe_applied
    assert await provider.opening_balance(yen) is None
    (back,) = await provider.balances([BalanceQuery(account, DAY)])
    assert back.ledger == Money(900, "EUR")


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
async def test_text_that_cannot_be_stored_is_rejected(provider, account, text):
    with pytest.raises(BadInput, match="memo"):
        await provider.set_opening_balance(opening(account, 1, memo=text))

    assert await provider.opening_balance(account) is None


async def test_the_probe_fails_if_the_ledger_is_unavailable(provider, database):
    await provider.probe()

    async with database.write_transaction() as connection:
        await connection.exec_driver_sql("DROP TABLE ledger_days")
    with pytest.raises(ProviderUnavailable):
        await provider.probe()
    await provider.aclose()

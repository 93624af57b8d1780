"""Entries and opening balances of the embedded ledger keep the currency they were stored in."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Book, Entry, ImportResult, Sums
from balance_gateway.domain.money import Money
from balance_gateway.ports.ledger_store import OtherCurrency
from balance_gateway.providers.local.csv_import import import_entries

DAY = date(2026, 1, 10)
OPENED = date(2026, 1, 1)
ENTRY = Entry("a", Book.BANK, DAY, 5)


async def sums(store, account):
    (found,) = await store.sums([BalanceQuery(account, DAY)])
    return found


async def set_opening(store, account, minor_units):
    amount = Money(minor_units, account.currency)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return await store.set_opening_balance(OpeningBalanceWrite(account, amount, at))


async def test_sums_name_the_currencies_of_what_they_add(store, account, make_account):
    await set_opening(store, account, 1)
    await store.add_entries(account, [ENTRY])

    assert await sums(store, make_account(currency="JPY")) == Sums(1, 5, 0, "EUR", "EUR", OPENED)
    assert await sums(store, make_account("other")) == Sums(None, 0, 0, None, None)


async def test_an_import_refuses_another_currency_than_earlier_entries(
    store, account, make_account
):
    await store.add_entries(account, [ENTRY])

    with pytest.raises(OtherCurrency, match=r"EUR.*JPY.*configure EUR"):
        await store.add_entries(make_account(currency="JPY"), [Entry("b", Book.BANK, DAY, 7)])

    assert await sums(store, account) == Sums(None, 5, 0, None, "EUR")


async def test_an_import_refuses_another_currency_than_the_opening_balance(
    store, account, make_account, tmp_path
):
    await set_opening(store, account, 1)
    path = tmp_path / "entries.csv"
    path.write_text("id,book,date,amount\na,bank,2026-01-02,7\n")

    with pytest.raises(BadInput, match=r"Nothing was imported\. .*set in EUR") as caught:
        await import_entries(store, make_account(currency="JPY"), path)

    assert caught.value.field == "account"
    assert await sums(store, account) == Sums(1, 0, 0, "EUR", None, OPENED)
    assert await import_entries(store, account, path) == ImportResult(1, 0)


async def test_an_opening_balance_in_another_currency_than_the_entries_is_refused(
    store, account, make_account
):
    await store.add_entries(account, [ENTRY])

    with pytest.raises(OtherCurrency, match="entries are in EUR"):
        await set_opening(store, make_account(currency="JPY"), 7)

    assert (await sums(store, account)).opening is None


async def test_an_empty_import_fixes_no_currency(store, account, make_account):
    await store.add_entries(account, [])

    assert await store.add_entries(make_account(currency="JPY"), [ENTRY]) == ImportResult(1, 0)


async def forget_currencies(database):
    """Bring the entries to the state in which earlier releases left them."""
    async with database.write_transaction() as connection:
        await connection.execute(text("DELETE FROM ledger_currencies"))


async def test_entries_of_an_earlier_release_get_the_currency_they_were_read_in(
    store, account, make_account, database
):
    with_opening, empty = make_account("with_opening"), make_account("empty")
    await set_opening(store, with_opening, 1)
    for one in (account, with_opening):
        await store.add_entries(one, [ENTRY])
    await forget_currencies(database)
    now = [account, make_account("with_opening", "JPY"), empty]

    await store.record_currencies(now)
    await store.record_currencies([make_account(currency="JPY"), *now[1:]])

    found = [(await sums(store, one)).entries_currency for one in now]
    assert found == ["EUR", "EUR", None]
    assert await store.add_entries(make_account("empty", "JPY"), [ENTRY]) == ImportResult(1, 0)


async def test_importing_again_records_the_currency_of_older_entries(
    store, account, make_account, database
):
    await store.add_entries(account, [ENTRY])
    await forget_currencies(database)

    await store.add_entries(account, [ENTRY])

    assert (await sums(store, account)).entries_currency == "EUR"

"""Records in which currency an account of the embedded ledger has its entries.

Entries are numbers of minor units in the currency that the account had when they were imported. The
first import records it; amounts in another currency are then neither added nor shown.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.account_currency import (
    build_other_entries_currency,
    build_other_opening_currency,
)
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.ledger_store import OtherCurrency
from balance_gateway.storage.tables import (
    ledger_currencies,
    ledger_days,
    ledger_opening_balances,
)

#: Number of accounts in one query, below the databases' limits of parameters.
_ACCOUNTS_PER_QUERY = 1_000

_RECORD = text(
    """
    INSERT INTO ledger_currencies (account_id, currency) VALUES (:account_id, :currency)
    ON CONFLICT (account_id) DO NOTHING
    """
).bindparams(bindparam("account_id"), bindparam("currency"))


async def check_entries(connection: AsyncConnection, account: Account) -> None:
    """Check the currency of the account's entries.

    Raises:
        OtherCurrency: they are in another currency than the account.
    """
    stored = await _find_entries_currency(connection, account)
    if stored not in (None, account.currency):
        raise OtherCurrency(build_other_entries_currency(account, stored))


async def check_account(connection: AsyncConnection, account: Account) -> None:
    """Check the currencies of the account's entries and of its opening balance.

    Raises:
        OtherCurrency: one of them is in another currency than the account.
    """
    await check_entries(connection, account)
    stored = await _find_opening_currency(connection, account)
    if stored not in (None, account.currency):
        raise OtherCurrency(build_other_opening_currency(account, stored))


async def record(connection: AsyncConnection, account: Account) -> None:
    """Record the account's currency as that of its entries, if none is recorded.

    Raises:
        OtherCurrency: the entries or the opening balance are in another currency.
    """
    await check_account(connection, account)
    await _insert(connection, account.id, account.currency)


async def record_former(connection: AsyncConnection, account: Account) -> None:
    """Record the currency of entries of an earlier release: the opening balance's, if any."""
    opening = await _find_opening_currency(connection, account)
    await _insert(connection, account.id, opening or account.currency)


async def list_unrecorded(
    connection: AsyncConnection, accounts: Sequence[Account]
) -> list[Account]:
    """Return the accounts that have entries without a recorded currency."""
    found: list[Account] = []
    for start in range(0, len(accounts), _ACCOUNTS_PER_QUERY):
        some = {account.id: account for account in accounts[start : start + _ACCOUNTS_PER_QUERY]}
        recorded = select(ledger_currencies.c.account_id).where(
            ledger_currencies.c.account_id.in_(some)
        )
        rest = some.keys() - set(await connection.scalars(recorded))
        entered = select(ledger_days.c.account_id).where(ledger_days.c.account_id.in_(rest))
        found += [some[account_id] for account_id in await connection.scalars(entered.distinct())]
    return found


async def _insert(connection: AsyncConnection, account_id: str, currency: str) -> None:
    await connection.execute(_RECORD, {"account_id": account_id, "currency": currency})


async def _find_entries_currency(connection: AsyncConnection, account: Account) -> str | None:
    table = ledger_currencies
    found: str | None = await connection.scalar(
        select(table.c.currency).where(table.c.account_id == account.id)
    )
    return found


async def _find_opening_currency(connection: AsyncConnection, account: Account) -> str | None:
    table = ledger_opening_balances
    found: str | None = await connection.scalar(
        select(table.c.currency).where(table.c.account_id == account.id)
    )
    return found

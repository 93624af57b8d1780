"""Opens the embedded ledger for an import of entries, without the rest of the gateway."""

from collections.abc import Callable
from pathlib import Path

from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import BadInput, Internal
from balance_gateway.domain.ledger import ImportResult
from balance_gateway.providers.local_csv import import_entries
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.ledger import SqlLedgerStore


async def import_ledger_entries(
    settings: Settings,
    account_id: str,
    path: Path,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportResult:
    """Imports a CSV file into an account of the embedded ledger: all of its rows or none.

    Raises:
        BadInput: there is no such account, it is not local, or rows are wrong.
        Internal: the storage failed.
    """
    account = _account(settings, account_id)
    try:
        database = await open_database(settings.storage.url.reveal())
    except DatabaseError as error:
        raise Internal(str(error)) from error
    try:
        store = SqlLedgerStore(database, system_clock)
        return await import_entries(store, account, path, on_progress)
    finally:
        await database.aclose()


def _account(settings: Settings, account_id: str) -> Account:
    for account in settings.accounts:
        if account.id == account_id:
            return account
    known = ", ".join(a.id for a in settings.accounts if not a.remote) or "none is configured"
    raise BadInput(f"There is no account {account_id!r}; local ones: {known}", field="account")

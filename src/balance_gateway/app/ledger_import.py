"""Import entries into the embedded ledger without opening the rest of the gateway."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import BadInput, Internal
from balance_gateway.domain.ledger import ImportResult
from balance_gateway.providers.local.csv_import import import_entries
from balance_gateway.storage.abort import TransactionAborter
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.ledger import SqlLedgerStore


async def import_ledger_entries(
    settings: Settings,
    account_id: str,
    path: Path | None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> ImportResult:
    """Import a CSV file into an account of the embedded ledger: all of its rows or none.

    Args:
        settings: the configuration.
        account_id: the gateway's id of the account.
        path: the CSV file, which may be a pipe; None for standard input.
        on_progress: called with the bytes done and the size of the file.
        on_interrupt: called when the caller is cancelled, after PostgreSQL was asked to abort. It
            should end the process: to wait for the import could take for ever.

    Returns:
        The numbers of entries that were added, that were present already, and that are dated
        before the opening balance.

    Raises:
        BadInput: the account is unknown or not local, or rows are invalid.
        Internal: the storage failed.
    """
    account = _find_account(settings, account_id)
    aborters: list[TransactionAborter] = []
    work = asyncio.get_running_loop().create_task(
        _import(settings, account, path, on_progress, aborters)
    )
    try:
        await asyncio.wait({work})
    except asyncio.CancelledError:
        for aborter in aborters:
            await aborter.abort()
        on_interrupt()
        raise
    return work.result()


async def _import(
    settings: Settings,
    account: Account,
    path: Path | None,
    on_progress: Callable[[int, int], None],
    aborters: list[TransactionAborter],
) -> ImportResult:
    try:
        database = await open_database(settings.storage.url.reveal())
    except DatabaseError as error:
        raise Internal(str(error)) from error
    aborters.append(TransactionAborter(database))
    try:
        store = SqlLedgerStore(database, system_clock)
        return await import_entries(store, account, path, on_progress)
    finally:
        await database.aclose()


def _find_account(settings: Settings, account_id: str) -> Account:
    for account in settings.accounts:
        if account.id == account_id:
            return account
    local = [each.id for each in settings.accounts if each.provider is ProviderKind.LOCAL]
    known = ", ".join(local) or "none"
    raise BadInput(f"unknown account {account_id!r}; local accounts: {known}", field="account")

"""Opens a storage that must be there already."""

import asyncio
from pathlib import Path

from balance_gateway.config.settings import Settings
from balance_gateway.storage.database import Database, DatabaseError, open_database
from balance_gateway.storage.database_url import find_sqlite_path, parse_database_url


async def open_existing_storage(settings: Settings) -> Database:
    """Open the storage; a missing SQLite file is not created, unlike by ``open_database``.

    Raises:
        DatabaseError: the storage is missing or cannot be opened.
    """
    url = settings.storage.url.reveal()
    parsed, _, _ = parse_database_url(url)
    path = find_sqlite_path(parsed)
    if path is not None and not await asyncio.to_thread(Path(path).exists):
        raise DatabaseError(
            f"there is no database at {path}: check storage.url; a relative path in it starts from"
            " the working directory"
        )
    return await open_database(url)

"""Removes what is old from the audit log without opening the rest of the gateway."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

from balance_gateway.app.existing_storage import open_existing_storage
from balance_gateway.config.settings import Settings
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import BadInput, Internal
from balance_gateway.storage.audit_retention import PrunedChain, RetentionRefused, prune
from balance_gateway.storage.database import DatabaseError

__all__ = ["PrunedChain", "prune_audit"]


async def prune_audit(
    settings: Settings, *, before: date, export: Path, tenant: str | None = None
) -> Sequence[PrunedChain]:
    """Export and remove what is older than the beginning of a day in UTC; see ``prune``.

    Raises:
        BadInput: the day is in the future, or the file exists.
        Internal: nothing may be removed, the storage failed, or the file cannot be written.
    """
    now = system_clock()
    if before > now.date():
        raise BadInput("--before must not be after today", field="before")
    instant = datetime.combine(before, time.min, UTC)
    try:
        database = await open_existing_storage(settings)
        try:
            return await prune(database, before=instant, export=export, now=now, tenant=tenant)
        finally:
            await database.aclose()
    except FileExistsError:
        raise BadInput(f"{export} exists: name another file", field="export") from None
    except OSError as error:
        raise Internal(f"cannot write {export}: {error.strerror}; nothing was removed") from error
    except RetentionRefused as error:
        raise Internal(str(error)) from None
    except DatabaseError as error:
        raise Internal(str(error)) from error

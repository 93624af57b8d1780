"""Verifies the audit log without opening the rest of the gateway."""

from collections.abc import Collection
from pathlib import Path

from balance_gateway.app.existing_storage import open_existing_storage
from balance_gateway.config.settings import Settings
from balance_gateway.domain.errors import BadInput, Internal
from balance_gateway.storage.audit_export import UnreadableExport
from balance_gateway.storage.audit_verification import (
    Verification,
    VerifiedChain,
    verify_chains,
    verify_export,
)
from balance_gateway.storage.database import DatabaseError

__all__ = ["Verification", "VerifiedChain", "verify_audit", "verify_audit_file"]


async def verify_audit(
    settings: Settings, *, tenant: str | None = None, heads: Collection[str] = ()
) -> Verification:
    """Verify the audit log of a tenant, or of each tenant; see ``verify_chains``.

    Raises:
        Internal: the storage failed.
    """
    try:
        database = await open_existing_storage(settings)
        try:
            return await verify_chains(database, tenant=tenant, heads=heads)
        finally:
            await database.aclose()
    except DatabaseError as error:
        raise Internal(str(error)) from error


def verify_audit_file(path: Path, *, heads: Collection[str] = ()) -> Verification:
    """Verify an exported audit log by itself; see ``verify_export``.

    Raises:
        BadInput: the file cannot be read.
        Internal: it is not an export, or a line of it is malformed.
    """
    try:
        return verify_export(path, heads=heads)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", field="file") from None
    except UnreadableExport as error:
        raise Internal(f"{path}: {error}") from None

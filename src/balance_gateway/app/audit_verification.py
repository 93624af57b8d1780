"""Verifies the audit log without opening the rest of the gateway."""

from collections.abc import Collection

from balance_gateway.config.settings import Settings
from balance_gateway.domain.errors import Internal
from balance_gateway.storage.audit_verification import Verification, verify_chains
from balance_gateway.storage.database import DatabaseError, open_database

__all__ = ["Verification", "verify_audit"]


async def verify_audit(
    settings: Settings, *, tenant: str | None = None, heads: Collection[str] = ()
) -> Verification:
    """Verify the audit log of a tenant, or of each tenant; see ``verify_chains``.

    Raises:
        Internal: the storage failed.
    """
    try:
        database = await open_database(settings.storage.url.reveal())
        try:
            return await verify_chains(database, tenant=tenant, heads=heads)
        finally:
            await database.aclose()
    except DatabaseError as error:
        raise Internal(str(error)) from error

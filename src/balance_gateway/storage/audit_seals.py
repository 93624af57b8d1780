"""The seals of audit rows that retention has removed, so that the rows around them still verify.

A seal is for neighbouring rows of a tenant's chain. It has the hash of the row before them and that
of the last of them, so that the chain continues over the gap. The row ``pruned`` of the removal has
the digest of its seals, and is in the chain itself: a seal cannot be made up or changed without
breaking that row.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import RemovedRows
from balance_gateway.storage.tables import audit_seals

#: The member of a ``pruned`` row's note with the digest.
DIGEST_MEMBER = "seals_sha256"


def hash_seals(seals: Iterable[RemovedRows]) -> str:
    """Return the digest of the seals of one removal, in the order of the chain.

    It is the SHA-256 of a JSON list without white space, with a list for each seal: first and last
    sequence, previous hash, last hash.
    """
    values = [
        [seal.first_sequence, seal.last_sequence, seal.previous_hash, seal.last_hash]
        for seal in seals
    ]
    form = json.dumps(values, separators=(",", ":"))
    return hashlib.sha256(form.encode("ascii")).hexdigest()


def read_digest(note: object) -> str | None:
    """Return the digest in the note of a ``pruned`` row; None if it has none."""
    try:
        members = json.loads(note) if isinstance(note, str) else None
    except ValueError:
        return None
    digest = members.get(DIGEST_MEMBER) if isinstance(members, dict) else None
    return digest if isinstance(digest, str) else None


async def read_seals(
    connection: AsyncConnection, tenant: str, *, above: int = 0, below: int | None = None
) -> Sequence[RemovedRows]:
    """Return the seals of a tenant in the order of the chain.

    Args:
        connection: a connection in a transaction.
        tenant: the tenant.
        above: return only seals of rows after this place.
        below: return only seals of rows before this place; None has no end.
    """
    columns = audit_seals.c
    statement = select(
        columns.first_sequence,
        columns.last_sequence,
        columns.previous_hash,
        columns.last_hash,
        columns.removed_in,
    ).where(columns.tenant == tenant, columns.first_sequence > above)
    if below is not None:
        statement = statement.where(columns.last_sequence < below)
    rows = await connection.execute(statement.order_by(columns.first_sequence))
    return [RemovedRows(*row) for row in rows]


async def add_seals(connection: AsyncConnection, tenant: str, seals: Sequence[RemovedRows]) -> None:
    """Store the seals of a removal."""
    rows = [
        {
            "tenant": tenant,
            "first_sequence": seal.first_sequence,
            "last_sequence": seal.last_sequence,
            "previous_hash": seal.previous_hash,
            "last_hash": seal.last_hash,
            "removed_in": seal.removed_in,
        }
        for seal in seals
    ]
    await connection.execute(insert(audit_seals), rows)

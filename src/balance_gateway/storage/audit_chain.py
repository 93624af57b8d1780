"""The hash chain of a tenant's audit log: a row has the hash of the row before it and its own.

An auditor needs only this page and the columns of the table ``write_audit`` to verify a chain.

* **A row's hash** is the SHA-256, in lowercase hexadecimal, of its canonical form.
* **The canonical form** is one JSON object in ASCII: a member for each column, named like it, in
  the order of the names, without white space; what is not ASCII is escaped with a backslash, ``u``
  and four lowercase hexadecimal digits per UTF-16 unit, as Python's ``json.dumps`` does. Text is
  the text as it is stored, also where it is JSON itself; ``sequence`` is a number and ``verified``
  is ``true`` or ``false``. Left out are ``hash``, ``number`` and every column that is NULL, so that
  a column of a later release changes no hash of an earlier row.
* **Sequence**: the first row of a tenant's chain has 1, each next one 1 more. Numbers increase with
  it, with gaps.
* **Previous hash**: that of the tenant's row with the sequence before. The first row has
  ``EMPTY_HASH`` if the tenant has no earlier row.
* **Rows of releases without the chain** have no sequence and no hashes. The first row of the chain
  seals them: they form a chain by their numbers, which begins with ``EMPTY_HASH``, and its last
  hash is the previous hash of the first row. Their canonical form has ``number``, and the hash of
  the row before as ``previous_hash``. A row without a hash after the first row breaks the chain.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnClause, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.storage.database import Database
from balance_gateway.storage.tables import write_audit

#: The hash before the first row of a chain.
EMPTY_HASH = "0" * 64

_BATCH_ROWS = 1_000

#: The columns as they are stored, without the conversions of their types.
STORED_COLUMNS: list[ColumnClause[Any]] = [literal_column(column.name) for column in write_audit.c]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last row of a chain.

    Attributes:
        sequence: the place of the row in the chain; 0 before the first one.
        hash: the hash of the row; before the first one, that of the earlier rows.
    """

    sequence: int
    hash: str


def hash_row(columns: Mapping[str, Any]) -> str:
    """Return the hash of a row's canonical form; raises like ``build_form``."""
    return hashlib.sha256(build_form(columns).encode("ascii")).hexdigest()


def build_form(columns: Mapping[str, Any]) -> str:
    """Return a row's canonical form; ``at`` is text.

    Raises:
        TypeError, ValueError: a value is none that a row can have.
    """
    members = {name: value for name, value in columns.items() if value is not None}
    members.pop("hash", None)
    if "sequence" in members:
        members.pop("number", None)
    return json.dumps(members, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_earlier_row(columns: Mapping[str, Any], previous_hash: str) -> str:
    """Return the hash of a row of a release without the chain; raises like ``hash_row``."""
    return hash_row({**columns, "previous_hash": previous_hash})


async def read_stored_rows(
    connection: AsyncConnection, tenant: str | None
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """Read the stored columns of a tenant's rows, or of all tenants', in the order of numbers.

    They are read by one statement, so all are of one moment, and yielded in batches.
    """
    statement = select(*STORED_COLUMNS).select_from(write_audit).order_by(write_audit.c.number)
    if tenant is not None:
        statement = statement.where(write_audit.c.tenant == tenant)
    async with connection.stream(statement) as rows:
        async for batch in rows.mappings().partitions(_BATCH_ROWS):
            yield [restore_types(dict(row)) for row in batch]


def restore_types(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the stored columns of a row with the types that its canonical form has."""
    if type(columns["verified"]) is int and columns["verified"] in (0, 1):
        # SQLite has no booleans.
        columns["verified"] = bool(columns["verified"])
    return columns


async def lock_chains(
    database: Database, connection: AsyncConnection, tenants: Collection[str]
) -> None:
    """Lock chains until the end of the transaction.

    Every transaction locks chains after everything else it waits for, and in the same order, so
    that no two wait for each other.
    """
    for tenant in sorted(tenants):
        await database.lock(connection, f"audit-chain {tenant}")


async def lock_head(database: Database, connection: AsyncConnection, tenant: str) -> ChainHead:
    """Lock a tenant's chain until the end of the transaction and return its head.

    The first call for a tenant with rows of releases without the chain reads all of them.
    """
    await lock_chains(database, connection, [tenant])
    chain = write_audit.c.sequence, write_audit.c.hash
    of_tenant = (write_audit.c.tenant == tenant) & write_audit.c.sequence.is_not(None)
    newest = select(*chain).where(of_tenant).order_by(write_audit.c.sequence.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    if row is not None:
        return ChainHead(row.sequence, row.hash)
    seal = EMPTY_HASH
    async for batch in read_stored_rows(connection, tenant):
        for earlier in batch:
            seal = hash_earlier_row(earlier, seal)
    return ChainHead(0, seal)

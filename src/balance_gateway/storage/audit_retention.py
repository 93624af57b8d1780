"""Removes old writes and their audit rows, after exporting them; the rest still verifies.

A write goes with all of its rows, or stays with all of them. It stays while it is unsettled, while
it is the last applied one of its remote account (the gateway's only record of an opening balance at
a provider that cannot return one), while a plan needs it (see ``plan_writes``), or while any of its
rows is too new or of a release without the chain. Rows of plans stay. One more write of a tenant
stays, for the row of the removal to refer to.

The order is: lock, verify, export and sync the file, remove, seal, record the removal as a row of
the chain, commit. All but the file is one transaction: a crash leaves everything, or the result.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import and_, case, delete, exists, func, literal_column, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent, RemovedRows
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.storage.audit import insert_row
from balance_gateway.storage.audit_chain import (
    ChainHead,
    lock_chains,
    lock_head,
    read_stored_rows,
)
from balance_gateway.storage.audit_export import format_header, format_removed, format_row
from balance_gateway.storage.audit_seals import DIGEST_MEMBER, add_seals, hash_seals, read_seals
from balance_gateway.storage.audit_verification import verify_in
from balance_gateway.storage.database import Database
from balance_gateway.storage.new_file import write_new_file
from balance_gateway.storage.plan_writes import is_needed_by_no_plan
from balance_gateway.storage.tables import APPLIED, instant_text, write_audit, writes

#: The name of the caller in the row that records a removal.
PRINCIPAL = "balance-gateway audit prune"

#: Number of ids in one statement, below the databases' limits of parameters.
_IDS_PER_STATEMENT = 1_000


class RetentionRefused(Exception):
    """Nothing was removed; the message says why and what to do."""


@dataclass(slots=True)
class PrunedChain:
    """What was removed of one tenant.

    Attributes:
        tenant: the tenant.
        rows: the number of removed audit rows.
        writes: the number of removed writes.
        seals: the seals of the removed rows.
    """

    tenant: str
    rows: int = 0
    writes: int = 0
    seals: list[RemovedRows] = field(default_factory=list)


async def prune(
    database: Database,
    *,
    before: datetime,
    export: Path,
    now: datetime,
    tenant: str | None = None,
) -> Sequence[PrunedChain]:
    """Export and remove what is older than an instant.

    The file has each chain from its first remaining row to the last removed one, so that it can be
    verified by itself. Without anything to remove no file is written.

    Args:
        database: the database; on PostgreSQL its user must own the tables.
        before: writes with a row at or after this instant stay.
        export: the file to write; it must not exist.
        now: the current time.
        tenant: the tenant; None for all.

    Returns:
        One result for each tenant of which something was removed, sorted by tenant.

    Raises:
        RetentionRefused: the log is not whole, or the user does not own the tables.
        OSError: the file cannot be written, or exists; nothing was removed.
        DatabaseError: the database failed. At the end of the transaction it may have removed the
            rows nevertheless, and the file is complete.
    """
    async with database.write_transaction() as connection:
        await _require_owner(database, connection)
        # Rows before chains: whoever has a chain waits for nothing else (see ``lock_chains``).
        old = await _lock_old_writes(connection, before, tenant)
        await lock_chains(database, connection, set(old.values()))
        referenced = await _keep_referenced(connection, old)
        if not old:
            return []
        await _require_whole(connection, tenant)
        with write_new_file(export) as new:
            file = _HashedFile(new)
            file.write(format_header(now))
            pruned = [
                await _export_chain(connection, file, name, old)
                for name in sorted(set(old.values()))
            ]
        # Before the removal, which may take the head itself.
        heads = {one.tenant: await lock_head(database, connection, one.tenant) for one in pruned}
        async with _allowing_removal(database, connection):
            await _remove(connection, list(old))
        facts = {"before": instant_text(before), "export_sha256": file.sha256}
        for one in pruned:
            await _seal(connection, one, heads[one.tenant], referenced[one.tenant], facts, now)
    return pruned


class _HashedFile:
    """Writes to a file and computes the hash of what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, line: bytes) -> None:
        """Write a line."""
        self._hash.update(line)
        self._file.write(line)

    @property
    def sha256(self) -> str:
        """The hash of all lines, in hexadecimal."""
        return self._hash.hexdigest()


async def _require_owner(database: Database, connection: AsyncConnection) -> None:
    if database.is_sqlite:
        return
    owner = "SELECT relowner FROM pg_class WHERE oid = CAST('write_audit' AS regclass)"
    is_owner = text(f"SELECT pg_has_role(({owner}), 'USAGE')")
    if not (await connection.execute(is_owner)).scalar_one():
        raise RetentionRefused(
            "the user of storage.url does not own the tables and cannot remove audit rows: run "
            "this command with their owner in storage.url, like balance-gateway migrate"
        )


async def _lock_old_writes(
    connection: AsyncConnection, before: datetime, tenant: str | None
) -> dict[str, str]:
    """Lock the writes that may go; return their tenants by their ids."""
    of_write = write_audit.c.write_id == writes.c.id
    keeps = or_(
        and_(write_audit.c.at >= before, write_audit.c.event != AuditEvent.PRUNED.value),
        write_audit.c.sequence.is_(None),
    )
    later = writes.alias("later")
    last = select(func.max(later.c.finished_in)).where(
        later.c.remote_account == writes.c.remote_account,
        # As in the partial index's condition; a planner does not look into parameters.
        later.c.outcome == literal_column("'applied'"),
    )
    is_uncertain = writes.c.outcome == WriteOutcome.UNCERTAIN.value
    statement = (
        select(writes.c.id, writes.c.tenant)
        .where(
            or_(
                writes.c.outcome == WriteOutcome.REJECTED.value,
                and_(is_uncertain, writes.c.settled_at.is_not(None)),
                and_(APPLIED, writes.c.finished_in < last.scalar_subquery()),
            ),
            is_needed_by_no_plan(),
            exists().where(of_write),
            ~exists().where(of_write, keeps),
        )
        .order_by(writes.c.id)
    )
    if tenant is not None:
        statement = statement.where(writes.c.tenant == tenant)
    rows = await connection.execute(statement.with_for_update(of=writes))
    return {row.id: row.tenant for row in rows}


async def _keep_referenced(connection: AsyncConnection, old: dict[str, str]) -> dict[str, str]:
    """Leave out a write of each tenant, for its row of the removal to refer to; return their ids.

    It must be locked before the chains: a writer who waits for a chain may have locked any other.
    It is the write of an earlier removal, or else the newest of those that may go.
    """
    newest: dict[str, tuple[bool, int, str]] = {}
    is_removal = case((write_audit.c.event == AuditEvent.PRUNED.value, 1), else_=0)
    for ids in _split(list(old)):
        columns = write_audit.c.write_id, write_audit.c.tenant
        last = func.max(write_audit.c.sequence).label("last")
        statement = select(*columns, last, func.max(is_removal).label("is_referenced"))
        of_ids = statement.where(write_audit.c.write_id.in_(ids)).group_by(*columns)
        for row in await connection.execute(of_ids):
            rank = bool(row.is_referenced), row.last, row.write_id
            newest[row.tenant] = max(newest.get(row.tenant, rank), rank)
            if row.is_referenced:
                old.pop(row.write_id)
    for _, _, write_id in newest.values():
        old.pop(write_id, None)
    return {tenant: write_id for tenant, (_, _, write_id) in newest.items()}


async def _require_whole(connection: AsyncConnection, tenant: str | None) -> None:
    result = await verify_in(connection, tenant=tenant)
    if result.differing_writes or any(chain.broken for chain in result.chains):
        raise RetentionRefused(
            "the audit log is not whole, and nothing is removed from it: balance-gateway audit "
            "verify says where"
        )


async def _export_chain(
    connection: AsyncConnection, file: "_HashedFile", tenant: str, old: Mapping[str, str]
) -> PrunedChain:
    """Write a tenant's chain up to the last row that goes; return what goes of it."""
    pruned = PrunedChain(tenant, writes=sum(1 for each in old.values() if each == tenant))
    last = await _find_last(connection, tenant, old)
    sealed = {seal.first_sequence: seal for seal in await read_seals(connection, tenant)}
    due = 1
    async for batch in read_stored_rows(connection, tenant):
        for columns in batch:
            sequence = columns["sequence"]
            if sequence is not None and sequence > last:
                continue
            while sequence is not None and due < sequence:
                file.write(format_removed(tenant, sealed[due]))
                due = sealed[due].last_sequence + 1
            file.write(format_row(columns))
            if sequence is not None:
                due = sequence + 1
            if columns["write_id"] in old:
                _add_to_seals(pruned, columns)
    return pruned


async def _find_last(connection: AsyncConnection, tenant: str, old: Collection[str]) -> int:
    """Return the place of the tenant's last row that goes."""
    last = 0
    for ids in _split(list(old)):
        newest = select(func.max(write_audit.c.sequence)).where(
            write_audit.c.tenant == tenant, write_audit.c.write_id.in_(ids)
        )
        last = max(last, (await connection.execute(newest)).scalar_one() or 0)
    return last


def _add_to_seals(pruned: PrunedChain, columns: Mapping[str, Any]) -> None:
    sequence, row_hash = columns["sequence"], columns["hash"]
    pruned.rows += 1
    first, previous_hash = sequence, columns["previous_hash"]
    if pruned.seals and pruned.seals[-1].last_sequence == sequence - 1:
        before = pruned.seals.pop()
        first, previous_hash = before.first_sequence, before.previous_hash
    pruned.seals.append(RemovedRows(first, sequence, previous_hash, row_hash, removed_in=0))


async def _remove(connection: AsyncConnection, ids: Sequence[str]) -> None:
    for some in _split(ids):
        await connection.execute(delete(write_audit).where(write_audit.c.write_id.in_(some)))
        await connection.execute(delete(writes).where(writes.c.id.in_(some)))


async def _seal(
    connection: AsyncConnection,
    pruned: PrunedChain,
    head: ChainHead,
    write_id: str,
    facts: Mapping[str, str],
    now: datetime,
) -> None:
    pruned.seals = seals = [replace(each, removed_in=head.sequence + 1) for each in pruned.seals]
    await add_seals(connection, pruned.tenant, seals)
    note = {
        **facts,
        "removed_rows": pruned.rows,
        "removed_writes": pruned.writes,
        DIGEST_MEMBER: hash_seals(seals),
    }
    values = {
        "event": AuditEvent.PRUNED.value,
        "tenant": pruned.tenant,
        # The columns cannot be NULL, though no write is concerned.
        "account_id": "",
        "intended": "",
        "outcome": "",
        "write_id": write_id,
        "principal": PRINCIPAL,
        "verified": False,
        "note": json.dumps(note, sort_keys=True),
    }
    await insert_row(connection, head, values, at=now)


@asynccontextmanager
async def _allowing_removal(database: Database, connection: AsyncConnection) -> AsyncIterator[None]:
    """Suspend the trigger that refuses removal, for this transaction alone."""
    if database.is_sqlite:
        name = "write_audit_no_delete"
        look = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
        definition = (await connection.execute(look, {"name": name})).scalar_one()
        await connection.execute(text(f"DROP TRIGGER {name}"))
        yield
        await connection.exec_driver_sql(definition)
        return
    # The trigger's function knows the setting. The gateway's own role may not delete all the same.
    setting = "SELECT set_config('balance_gateway.retention', :value, true)"
    await connection.execute(text(setting), {"value": "on"})
    yield
    await connection.execute(text(setting), {"value": "off"})


def _split(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        yield ids[start : start + _IDS_PER_STATEMENT]

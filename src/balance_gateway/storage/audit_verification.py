"""Verifies the hash chains of the audit log (see ``audit_chain``)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent, RemovedRows
from balance_gateway.storage.audit_chain import (
    EMPTY_HASH,
    hash_earlier_row,
    hash_row,
    read_stored_rows,
)
from balance_gateway.storage.audit_export import read_export
from balance_gateway.storage.audit_seals import hash_seals, read_digest, read_seals
from balance_gateway.storage.audited_writes import find_differing_writes
from balance_gateway.storage.database import Database


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """The first row of a chain that is not what was written.

    Attributes:
        number: the number of the row.
        reason: what is wrong with it or before it.
    """

    number: int
    reason: str


@dataclass(slots=True)
class VerifiedChain:
    """The result for one tenant.

    Attributes:
        tenant: the tenant.
        may_begin_late: whether the chain may begin with another row than its first, as in an export
            of a part; then its seals are not compared with the row that records the removal.
        rows: the number of rows in the chain that are whole, up to the first broken one.
        earlier_rows: the number of rows of releases without the chain.
        removed_rows: the number of rows that retention has removed, by the seals.
        begins_at: the number of the first row if that is not the first of the chain; else None.
        head: the hash of the last whole row; None without one.
        broken: the first broken row; None when the chain is whole.
    """

    tenant: str
    may_begin_late: bool = False
    rows: int = 0
    earlier_rows: int = 0
    removed_rows: int = 0
    begins_at: int | None = None
    head: str | None = None
    broken: BrokenRow | None = None
    #: The hash that the next row must name, and its place.
    _link: str = field(default=EMPTY_HASH, repr=False)
    _due: int = field(default=1, repr=False)
    _number: int = field(default=0, repr=False)
    #: The seals by the place of the row that records the removal.
    _seals: dict[int, list[RemovedRows]] = field(default_factory=dict, repr=False)

    def add(self, columns: Mapping[str, Any], removed: Sequence[RemovedRows] = ()) -> None:
        """Verify the next row of the tenant, in the order of numbers.

        Args:
            columns: the stored columns.
            removed: the seals of the rows that were removed before it.
        """
        if self.broken is not None:
            return
        self._number = columns["number"]
        if columns["sequence"] is None and self._due == 1 and not removed:
            self.earlier_rows += 1
            self._link = _hash_or_empty(hash_earlier_row, columns, self._link)
            return
        reason = self._find_fault(columns, removed)
        if reason is not None:
            self.broken = BrokenRow(columns["number"], reason)
            return
        self.rows += 1
        self._due += 1
        self.head = self._link = columns["hash"]

    def end(self, *, may_end_early: bool) -> None:
        """Verify that every removal was recorded; there is no further row.

        Args:
            may_end_early: whether the rows that record removals may come after the last row.
        """
        unrecorded = [place for place in self._seals if place < self._due or not may_end_early]
        if self.broken is None and unrecorded and self.begins_at is None:
            reason = "rows before it were removed, and no row records that"
            self.broken = BrokenRow(self._number, reason)

    @property
    def due(self) -> int:
        """The place of the next row."""
        return self._due

    def _find_fault(self, columns: Mapping[str, Any], removed: Sequence[RemovedRows]) -> str | None:
        sequence = columns["sequence"]
        if sequence is None:
            return "it has no hash: this release did not write it"
        for seal in removed:
            if (seal.first_sequence, seal.previous_hash) != (self._due, self._link):
                is_first = self._due == 1 and self.rows + self.earlier_rows == 0
                if not (is_first and self.may_begin_late):
                    return "the seal of the removed rows before it is not of this chain"
                self.begins_at = columns["number"]
            self._due, self._link = seal.last_sequence + 1, seal.last_hash
            self.removed_rows += seal.last_sequence - seal.first_sequence + 1
            self._seals.setdefault(seal.removed_in, []).append(seal)
        if self._may_begin_with(sequence):
            self.begins_at = columns["number"]
            self._due, self._link = sequence, columns.get("previous_hash") or ""
        if sequence != self._due:
            due = self._due
            return f"its sequence is {sequence} instead of {due}: a row was removed, moved or added"
        return self._find_wrong_hash(columns)

    def _may_begin_with(self, sequence: int) -> bool:
        is_first = self._due == 1 and self.rows + self.earlier_rows == 0
        return self.may_begin_late and is_first and sequence > 1

    def _find_wrong_hash(self, columns: Mapping[str, Any]) -> str | None:
        if columns.get("hash") != _hash_or_empty(hash_row, columns):
            return "its columns do not have its hash: the row was changed"
        if columns.get("previous_hash") != self._link:
            if self.rows == 0 and self.earlier_rows:
                return (
                    "its previous hash is not that of the earlier rows: one of these rows of a "
                    "release without the chain was changed, removed or added"
                )
            return "its previous hash is not that of the row before: one of the two was replaced"
        if columns.get("event") == AuditEvent.PRUNED.value:
            seals = self._seals.pop(columns["sequence"], [])
            is_same = hash_seals(seals) == read_digest(columns.get("note"))
            # Before a late beginning there may have been more of them.
            if not is_same and self.begins_at is None:
                return "the seals of the rows that it removed were changed, or rows are back"
        return None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        chains: a result for each tenant, sorted by tenant.
        missing_heads: the expected hashes that no whole row has.
        differing_writes: the ids of writes in the journal that differ from their newest audit row,
            or have none.
    """

    chains: Sequence[VerifiedChain]
    missing_heads: Sequence[str]
    differing_writes: Sequence[str]


async def verify_chains(
    database: Database, *, tenant: str | None = None, heads: Collection[str] = ()
) -> Verification:
    """Verify the chain of a tenant, or of each tenant.

    Args:
        database: the database.
        tenant: the tenant; None for all.
        heads: hashes of rows that must be in the chains, such as heads that were noted earlier.
            Only they show that the end of a chain was cut off.

    Raises:
        DatabaseError: the database is unavailable.
    """
    async with database.read_transaction() as connection:
        return await verify_in(connection, tenant=tenant, heads=heads)


def verify_export(path: Path, *, heads: Collection[str] = ()) -> Verification:
    """Verify an exported log by itself; it may begin and end anywhere in a chain.

    Args:
        path: the file.
        heads: hashes of rows that must be in it; only they show that its end was cut off.

    Raises:
        OSError: the file cannot be read.
        UnreadableExport: it is not an export, or a line of it is malformed.
    """
    chains: dict[str, VerifiedChain] = {}
    missing = set(heads)
    for columns, removed in read_export(path):
        name = columns["tenant"]
        chain = chains.setdefault(name, VerifiedChain(name, may_begin_late=True))
        chain.add(columns, removed)
        if chain.head is not None:
            missing.discard(chain.head)
    for chain in chains.values():
        chain.end(may_end_early=True)
    return Verification([chains[name] for name in sorted(chains)], sorted(missing), [])


async def verify_in(
    connection: AsyncConnection, *, tenant: str | None = None, heads: Collection[str] = ()
) -> Verification:
    """Verify in an open transaction; see ``verify_chains``."""
    chains: dict[str, VerifiedChain] = {}
    sealed: dict[str, dict[int, RemovedRows]] = {}
    missing = set(heads)
    # Of one moment: a row that is committed meanwhile cannot appear without the one before it.
    async for batch in read_stored_rows(connection, tenant):
        for columns in batch:
            name = columns["tenant"]
            if name not in chains:
                chains[name] = VerifiedChain(name)
                seals = await read_seals(connection, name)
                sealed[name] = {seal.first_sequence: seal for seal in seals}
            chain = chains[name]
            chain.add(columns, _list_removed(sealed[name], chain.due, columns["sequence"]))
            if chain.head is not None:
                missing.discard(chain.head)
    found = [chains[name] for name in sorted(chains, key=str)]
    for chain in found:
        chain.end(may_end_early=False)
    return Verification(found, sorted(missing), await find_differing_writes(connection, tenant))


def _list_removed(
    seals: Mapping[int, RemovedRows], due: int, sequence: int | None
) -> Sequence[RemovedRows]:
    """Return the seals between the place that is due and that of the next row."""
    removed: list[RemovedRows] = []
    while sequence is not None and due < sequence and (seal := seals.get(due)) is not None:
        removed.append(seal)
        due = seal.last_sequence + 1
    return removed


def _hash_or_empty(hash_columns: Any, *arguments: Any) -> str:
    """Return a hash; for values that no row can have, a text that is no hash."""
    try:
        return str(hash_columns(*arguments))
    except (TypeError, ValueError):
        return ""

"""Verifies the hash chains of the audit log (see ``audit_chain``)."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.storage.audit_chain import (
    EMPTY_HASH,
    hash_earlier_row,
    hash_row,
    read_stored_rows,
)
from balance_gateway.storage.audited_writes import find_differing_writes
from balance_gateway.storage.database import Database
from balance_gateway.storage.plan_audit import read_stored_plan_rows


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
        rows: the number of rows in the chain that are whole, up to the first broken one.
        earlier_rows: the number of rows of releases without the chain.
        head: the hash of the last whole row; None without one.
        broken: the first broken row; None when the chain is whole.
    """

    tenant: str
    rows: int = 0
    earlier_rows: int = 0
    head: str | None = None
    broken: BrokenRow | None = None
    #: The hash that the next row must name.
    _link: str = field(default=EMPTY_HASH, repr=False)

    def add(self, columns: Mapping[str, Any]) -> None:
        """Verify the next row of the tenant, in the order of numbers."""
        if self.broken is not None:
            return
        if columns["sequence"] is None and self.rows == 0:
            self.earlier_rows += 1
            self._link = _hash_or_empty(hash_earlier_row, columns, self._link)
            return
        reason = self._find_fault(columns)
        if reason is not None:
            self.broken = BrokenRow(columns["number"], reason)
            return
        self.rows += 1
        self.head = self._link = columns["hash"]

    def _find_fault(self, columns: Mapping[str, Any]) -> str | None:
        sequence = columns["sequence"]
        if sequence is None:
            return "it has no hash: this release did not write it"
        if sequence != self.rows + 1:
            due = self.rows + 1
            return f"its sequence is {sequence} instead of {due}: a row was removed, moved or added"
        if columns["hash"] != _hash_or_empty(hash_row, columns):
            return "its columns do not have its hash: the row was changed"
        if columns["previous_hash"] == self._link:
            return None
        if self.rows == 0 and self.earlier_rows:
            return (
                "its previous hash is not that of the earlier rows: one of these rows of a release "
                "without the chain was changed, removed or added"
            )
        return "its previous hash is not that of the row before: one of the two was replaced"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        chains: a result for each tenant, sorted by tenant.
        missing_heads: the expected hashes that no whole row has.
        differing_writes: the ids of writes in the journal that differ from their newest audit row,
            or have none.
        plan_chains: the same as ``chains`` for the audit log of plans.
    """

    chains: Sequence[VerifiedChain]
    missing_heads: Sequence[str]
    differing_writes: Sequence[str]
    plan_chains: Sequence[VerifiedChain] = ()


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


async def verify_in(
    connection: AsyncConnection, *, tenant: str | None = None, heads: Collection[str] = ()
) -> Verification:
    """Verify in an open transaction; see ``verify_chains``."""
    missing = set(heads)
    chains = await _verify(read_stored_rows(connection, tenant), missing)
    plan_chains = await _verify(read_stored_plan_rows(connection, tenant), missing)
    differing = await find_differing_writes(connection, tenant)
    return Verification(chains, sorted(missing), differing, plan_chains)


async def _verify(
    batches: AsyncIterator[Sequence[dict[str, Any]]], missing: set[str]
) -> list[VerifiedChain]:
    """Verify the rows of a log, and remove the heads that it has from the missing ones."""
    chains: dict[str, VerifiedChain] = {}
    # Of one moment: a row that is committed meanwhile cannot appear without the one before it.
    async for batch in batches:
        for columns in batch:
            name = columns["tenant"]
            chain = chains.setdefault(name, VerifiedChain(name))
            chain.add(columns)
            if chain.head is not None:
                missing.discard(chain.head)
    return [chains[name] for name in sorted(chains, key=str)]


def _hash_or_empty(hash_columns: Any, *arguments: Any) -> str:
    """Return a hash; for values that no row can have, a text that is no hash."""
    try:
        return str(hash_columns(*arguments))
    except (TypeError, ValueError):
        return ""

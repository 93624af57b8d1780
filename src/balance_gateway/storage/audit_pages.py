"""Implements the audit log for its readers, in pages."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEntry, AuditEvent, RemovedRows
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.ports.audit_log import AuditFilter
from balance_gateway.ports.write_journal import JournalUnavailable
from balance_gateway.storage.audit_chain import STORED_COLUMNS, build_form, restore_types
from balance_gateway.storage.audit_seals import read_seals
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.journal_format import (
    UnreadableRow,
    intended_from_text,
    opening_balance_from_text,
)
from balance_gateway.storage.tables import write_audit

T = TypeVar("T")


class SqlAuditPages:
    """Implements ``ports.audit_log.AuditLog``.

    Args:
        database: the database of the audit log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        tenant: str,
        selected: AuditFilter,
        limit: int,
        after: int | None,
        *,
        oldest_first: bool = False,
    ) -> Sequence[AuditEntry]:
        """Return entries of the tenant that match a filter, sorted by number; see the port."""
        number = write_audit.c.number
        statement = select(*STORED_COLUMNS).select_from(write_audit)
        statement = statement.where(write_audit.c.tenant == tenant)
        if selected.account_ids is not None:
            statement = statement.where(write_audit.c.account_id.in_(sorted(selected.account_ids)))
        if selected.events is not None:
            events = sorted(event.value for event in selected.events)
            statement = statement.where(write_audit.c.event.in_(events))
        if selected.since is not None:
            statement = statement.where(write_audit.c.at >= selected.since)
        if selected.until is not None:
            statement = statement.where(write_audit.c.at < selected.until)
        if after is not None:
            statement = statement.where(number > after if oldest_first else number < after)
        order = number.asc() if oldest_first else number.desc()
        try:
            async with self._database.read_transaction() as connection:
                found = await connection.execute(statement.order_by(order).limit(limit))
                rows = [restore_types(dict(row)) for row in found.mappings()]
                seals = await _read_seals_before(connection, tenant, rows)
        except DatabaseError as error:
            raise JournalUnavailable("The audit log is unavailable.") from error
        return [build_entry(row, _list_removed(row["sequence"], seals)) for row in rows]


async def _read_seals_before(
    connection: AsyncConnection, tenant: str, rows: Sequence[Mapping[str, Any]]
) -> dict[int, RemovedRows]:
    """Return the seals before the rows by the place of their last row."""
    places = [row["sequence"] for row in rows if row["sequence"] is not None]
    if not places:
        return {}
    before = select(func.max(write_audit.c.sequence)).where(
        write_audit.c.tenant == tenant, write_audit.c.sequence < min(places)
    )
    above = (await connection.execute(before)).scalar_one() or 0
    seals = await read_seals(connection, tenant, above=above, below=max(places))
    return {seal.last_sequence: seal for seal in seals}


def _list_removed(
    sequence: int | None, seals: Mapping[int, RemovedRows]
) -> tuple[RemovedRows, ...]:
    removed: list[RemovedRows] = []
    while sequence is not None and (seal := seals.get(sequence - 1)) is not None:
        removed.insert(0, seal)
        sequence = seal.first_sequence
    return tuple(removed)


def build_entry(row: Mapping[str, Any], removed_before: tuple[RemovedRows, ...] = ()) -> AuditEntry:
    """Build the entry of a stored row; what cannot be read is None in it."""
    intended = _read(intended_from_text, row["intended"] or None)
    return AuditEntry(
        number=row["number"],
        record=_read(build_form, row) or json.dumps(dict(row), default=repr),
        sequence=row["sequence"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
        at=_read(datetime.fromisoformat, row["at"]),
        event=_read(AuditEvent, row["event"]),
        principal=row["principal"],
        account_id=row["account_id"] or None,
        # The row of a removal refers to a write that it does not concern.
        write_id=None if row["event"] == AuditEvent.PRUNED.value else row["write_id"],
        plan_id=row["plan_id"],
        outcome=_read(WriteOutcome, row["outcome"] or None),
        amount=None if intended is None else intended.amount,
        effective_at=None if intended is None else intended.effective_at,
        previous=_read_amount(row["previous"]),
        applied=_read_amount(row["applied"]),
        found=_read_amount(row["found"]),
        verified=bool(row["verified"]),
        error_code=row["error_code"],
        error_message=row["error_message"],
        provider_code=row["provider_code"],
        note=row["note"],
        removed_before=removed_before,
    )


def _read(parse: Callable[[Any], T], value: Any) -> T | None:
    if value is None:
        return None
    try:
        return parse(value)
    except (
        UnreadableRow,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ):
        return None


def _read_amount(document: str | None) -> Money | None:
    value: OpeningBalance | None = _read(opening_balance_from_text, document)
    return None if value is None else value.amount

"""Stores the parts of a plan while it is received."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.opening_balance_plans import Plan, PlanRow, PlanState, RowOutcome
from balance_gateway.ports.plan_store import LineTaken, PlanConflict, PlanPart
from balance_gateway.storage.plan_format import columns_of_plan, columns_of_row, plan_from_row
from balance_gateway.storage.plan_tables import plan_parts, plan_rows, plans

#: Number of lines in one query, below the databases' limits of parameters.
_LINES_PER_QUERY = 1_000


async def store_part(connection: AsyncConnection, plan: Plan, part: PlanPart) -> tuple[Plan, bool]:
    """Store a part in the connection's transaction; see ``PlanStore.add_part``.

    Returns:
        The stored plan, and whether this call has completed it.
    """
    stored = await _find_stored(connection, plan, part)
    if stored is None:
        await connection.execute(insert(plans).values(columns_of_plan(plan)))
        stored = plan
    elif await _is_repeated(connection, stored, part):
        return stored, False
    await _insert(connection, stored, part)
    state = PlanState.RECEIVING
    if part.is_last:
        await _refuse_repeated_accounts(connection, stored.id)
        is_refused = await _has_invalid_rows(connection, stored.id)
        state = PlanState.REFUSED if is_refused else PlanState.READING
    values = {
        "state": state.value,
        "parts": part.number,
        "row_count": stored.row_count + len(part.rows),
    }
    await connection.execute(update(plans).where(plans.c.id == stored.id).values(values))
    statement = select(plans).where(plans.c.id == stored.id)
    return plan_from_row((await connection.execute(statement)).one()), part.is_last


async def _find_stored(connection: AsyncConnection, plan: Plan, part: PlanPart) -> Plan | None:
    statement = select(plans).where(plans.c.tenant == plan.tenant)
    if part.number > 1:
        statement = statement.where(plans.c.id == plan.id).with_for_update()
        return plan_from_row((await connection.execute(statement)).one())
    if plan.idempotency_key is None:
        return None
    statement = statement.where(plans.c.idempotency_key == plan.idempotency_key)
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    return None if row is None else plan_from_row(row)


async def _is_repeated(connection: AsyncConnection, stored: Plan, part: PlanPart) -> bool:
    """Return whether the part is stored already.

    Raises:
        PlanConflict: it is not, and is not the next one either.
    """
    of_part = (plan_parts.c.plan_id == stored.id) & (plan_parts.c.number == part.number)
    statement = select(plan_parts.c.fingerprint).where(of_part)
    fingerprint = (await connection.execute(statement)).scalar_one_or_none()
    if fingerprint == part.fingerprint:
        return True
    if fingerprint is not None:
        raise PlanConflict(f"Part {part.number} was sent before with other content.")
    if stored.state is not PlanState.RECEIVING:
        raise PlanConflict("The plan is complete and takes no more parts.")
    if part.number != stored.parts + 1:
        raise PlanConflict(f"Part {stored.parts + 1} is next.")
    return False


async def _insert(connection: AsyncConnection, stored: Plan, part: PlanPart) -> None:
    await _check_lines(connection, stored.id, part.rows)
    values = {
        "plan_id": stored.id,
        "number": part.number,
        "fingerprint": part.fingerprint,
    }
    await connection.execute(insert(plan_parts).values(values))
    rows = [columns_of_row(stored.id, row) for row in part.rows]
    await connection.execute(insert(plan_rows), rows)


async def _check_lines(connection: AsyncConnection, plan_id: str, rows: Sequence[PlanRow]) -> None:
    lines = [row.line for row in rows]
    for start in range(0, len(lines), _LINES_PER_QUERY):
        some = plan_rows.c.line.in_(lines[start : start + _LINES_PER_QUERY])
        statement = select(plan_rows.c.line).where(plan_rows.c.plan_id == plan_id, some)
        taken = (await connection.execute(statement.limit(1))).scalar_one_or_none()
        if taken is not None:
            raise LineTaken(taken)


async def _refuse_repeated_accounts(connection: AsyncConnection, plan_id: str) -> None:
    """Make each row INVALID whose remote account has an earlier row."""
    repeated = (
        select(plan_rows.c.remote_account, func.min(plan_rows.c.line).label("first_line"))
        .where(plan_rows.c.plan_id == plan_id, plan_rows.c.remote_account.is_not(None))
        .group_by(plan_rows.c.remote_account)
        .having(func.count() > 1)
        .subquery()
    )
    of_repeated = plan_rows.c.remote_account == repeated.c.remote_account
    statement = select(plan_rows.c.line, repeated.c.first_line).where(
        plan_rows.c.plan_id == plan_id, of_repeated, plan_rows.c.line > repeated.c.first_line
    )
    found = [
        {"at_line": row.line, "reason": _describe_repeated(row.first_line)}
        for row in await connection.execute(statement)
    ]
    if not found:
        return
    refuse = (
        update(plan_rows)
        .where(plan_rows.c.plan_id == plan_id, plan_rows.c.line == bindparam("at_line"))
        .values(
            outcome=RowOutcome.INVALID.value,
            error_code=ErrorCode.BAD_USER_INPUT.value,
            error_message=bindparam("reason"),
            error_field="accountId",
        )
    )
    await connection.execute(refuse, found)


def _describe_repeated(first_line: int) -> str:
    return (
        f"Line {first_line} is for the same account, by the same id or by another one that reaches"
        " it; an account must have one row."
    )


async def _has_invalid_rows(connection: AsyncConnection, plan_id: str) -> bool:
    is_invalid: Any = plan_rows.c.outcome == RowOutcome.INVALID.value
    statement = select(plan_rows.c.line).where(plan_rows.c.plan_id == plan_id, is_invalid).limit(1)
    return (await connection.execute(statement)).one_or_none() is not None

"""Pauses the plans of a restored database."""

from sqlalchemy import update

from balance_gateway.domain.opening_balance_plans import PlanState
from balance_gateway.storage.database import Database
from balance_gateway.storage.plan_tables import plans


async def pause_plans(database: Database) -> int:
    """Pause the plans that were being applied when the backup was made; return their number.

    Raises:
        DatabaseError: the database is unavailable.
    """
    pause = (
        update(plans)
        .where(plans.c.state == PlanState.APPLYING.value)
        .values(state=PlanState.PAUSED.value, owner=None)
    )
    async with database.write_transaction() as connection:
        return (await connection.execute(pause)).rowcount

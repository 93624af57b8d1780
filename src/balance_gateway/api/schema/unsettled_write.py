"""The GraphQL type UnsettledWrite: a write that an account may or may not have."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.domain import writes as domain


@strawberry.type(
    description="A write that the provider may or may not have applied. Until it is settled, what "
    "is shown as the opening balance may be wrong."
)
class UnsettledWrite:
    """A write that may or may not have been applied."""

    write_id: strawberry.ID | None = strawberry.field(
        description="The gateway's id of the write; null if it is of another company."
    )
    amount: Money | None = strawberry.field(
        description="The amount that was sent; null if the write is of another company."
    )
    effective_at: datetime | None = strawberry.field(
        description="The instant that was sent; null if there was none, or the write is of another "
        "company."
    )
    at: datetime = strawberry.field(description="When the write began.")


def build_unsettled_write(
    found: domain.WriteRecord | domain.UnsettledWrite | None,
) -> UnsettledWrite | None:
    """Build the GraphQL object of an unsettled write; without values for one of another tenant."""
    if isinstance(found, domain.WriteRecord):
        intent = found.intent
        return UnsettledWrite(
            write_id=strawberry.ID(intent.id),
            amount=build_money(intent.amount),
            effective_at=intent.effective_at,
            at=intent.started_at,
        )
    if found is None or found.started_at is None:
        return None
    return UnsettledWrite(write_id=None, amount=None, effective_at=None, at=found.started_at)

"""The GraphQL enum MissingReason."""

from enum import Enum

import strawberry

from balance_gateway.domain import balances as domain


@strawberry.enum(description="The reason why a balance is not known for a day.")
class MissingReason(Enum):
    """The reason why a balance is not known for a day."""

    NO_OPENING_BALANCE = strawberry.enum_value(
        domain.MissingReason.NO_OPENING_BALANCE,
        description="No opening balance is set, and the balance is counted from it.",
    )
    BEFORE_OPENING = strawberry.enum_value(
        domain.MissingReason.BEFORE_OPENING,
        description="The day is before the day of the opening balance.",
    )
    NOT_OFFERED = strawberry.enum_value(
        domain.MissingReason.NOT_OFFERED,
        description="The provider offers no such balance for a day.",
    )
    NOT_IN_FILE = strawberry.enum_value(
        domain.MissingReason.NOT_IN_FILE,
        description="The statement file has no such balance for the day.",
    )
    OTHER_BASIS = strawberry.enum_value(
        domain.MissingReason.OTHER_BASIS,
        description="Both balances are known, but on different bases, so that their difference "
        "means nothing.",
    )


_REASONS = {reason: MissingReason(reason) for reason in domain.MissingReason}


def build_missing_reason(reason: domain.MissingReason | None) -> MissingReason | None:
    """Convert a reason to its GraphQL value; None for None."""
    return None if reason is None else _REASONS[reason]

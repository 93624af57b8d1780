"""Defines what a caller sends to make a plan."""

from collections.abc import Sequence
from dataclasses import dataclass

from balance_gateway.domain.errors import GatewayError
from balance_gateway.service.opening_balances import UpsertRequest


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row of a caller's file.

    Attributes:
        line: the line in the file.
        account_id: the account id as it was sent.
        request: the opening balance to set, without expectation and key; or the error of a row
            that cannot be read.
    """

    line: int
    account_id: str
    request: UpsertRequest | GatewayError


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part of a plan.

    Attributes:
        plan_id: the plan of a later part; None for part 1, which makes the plan.
        number: the number of the part, from 1.
        rows: the rows.
        is_last: whether the plan is complete with it.
        needs_approval: whether the plan must be approved by another principal; part 1 decides.
        idempotency_key: for part 1: a repeated request with the key returns the plan that the first
            one made; None without one.
    """

    plan_id: str | None
    number: int
    rows: Sequence[SentRow]
    is_last: bool
    needs_approval: bool = False
    idempotency_key: str | None = None

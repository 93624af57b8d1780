"""Defines the entries of the audit log, and the rows that retention has removed from it."""

import enum
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteOutcome


class AuditEvent(enum.Enum):
    """A change of a write or of a plan, or of the audit log itself.

    ``DISREGARDED`` records an outcome that contradicts the final one and did not change the write.
    ``PROVED``, ``DISPROVED``, ``SUPERSEDED`` and ``SETTLED`` (by a person) settle an uncertain
    write. ``PRUNED`` records that earlier rows were exported and removed; it concerns no write.
    ``PLAN_MADE`` records that a plan is complete, and was read or refused; ``PLAN_APPLIED`` that a
    caller let the gateway apply it; ``PLAN_FINISHED`` that every row has its outcome.
    """

    BEGUN = "begun"
    FINISHED = "finished"
    LEASE_EXPIRED = "lease_expired"
    DISREGARDED = "disregarded"
    PROVED = "proved"
    DISPROVED = "disproved"
    SUPERSEDED = "superseded"
    SETTLED = "settled"
    PRUNED = "pruned"
    PLAN_MADE = "plan_made"
    PLAN_APPROVED = "plan_approved"
    PLAN_APPLIED = "plan_applied"
    PLAN_FINISHED = "plan_finished"


@dataclass(frozen=True, slots=True)
class RemovedRows:
    """The seal of neighbouring rows of a tenant's chain that retention has removed.

    Attributes:
        first_sequence: the place of the first of them.
        last_sequence: the place of the last of them.
        previous_hash: the hash of the row before the first of them.
        last_hash: the hash of the last of them, which the row after them names.
        removed_in: the place of the row ``PRUNED`` that records the removal.
    """

    first_sequence: int
    last_sequence: int
    previous_hash: str
    last_hash: str
    removed_in: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit log for its readers.

    A value that cannot be read, because the row is damaged or of a newer release, is None;
    ``record`` has it as it is stored.

    Attributes:
        number: increases across all tenants, with gaps.
        record: the columns as one JSON object: the text that the hash is the SHA-256 of. Without
            ``hash`` and, in a chain, without ``number``.
        sequence: the place in the tenant's chain, from 1; None in rows of releases without it.
        previous_hash: the hash of the row before; None without a sequence.
        hash: the hash of this row; None without a sequence.
        at: when the change was recorded.
        event: the change.
        principal: the name of the caller.
        account_id: the gateway's account id; None where the row concerns no account.
        write_id: the id of the write; None where the row concerns none.
        plan_id: the id of the plan; None where the row concerns none.
        outcome: the outcome of the write after the change.
        amount: the requested amount.
        effective_at: the requested instant.
        previous: the amount before the write.
        applied: the amount after the write, if it was applied.
        found: the amount that reading back showed.
        verified: whether ``applied`` was read back.
        error_code: the text of the error's code.
        error_message: the message of the error.
        provider_code: the provider's own code of the error.
        note: the reason of a settlement, or, as JSON, what was removed or is to be known of a plan.
        removed_before: the seals of the removed rows between this row and the one before, in order.
    """

    number: int
    record: str
    sequence: int | None
    previous_hash: str | None
    hash: str | None
    at: datetime | None
    event: AuditEvent | None
    principal: str
    account_id: str | None
    write_id: str | None
    plan_id: str | None
    outcome: WriteOutcome | None
    amount: Money | None
    effective_at: datetime | None
    previous: Money | None
    applied: Money | None
    found: Money | None
    verified: bool
    error_code: str | None
    error_message: str | None
    provider_code: str | None
    note: str | None
    removed_before: tuple[RemovedRows, ...] = ()

"""Writes: what is journalled before a provider is called, and the one outcome that each write has.

A write is begun in the journal, then sent at most once, then finished with exactly one outcome.
A write that was begun and never finished (the process died) is resolved at the next start.
"""

import enum
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.money import Money


class WriteOutcome(enum.Enum):
    """What became of a write."""

    STARTED = "started"
    APPLIED = "applied"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class WriteIntent:
    """A write as it is about to be sent.

    Attributes:
        id: ours, unique, made before anything is sent.
        tenant: whose account it is.
        account_id: the gateway's account id.
        remote_account: the same for all accounts that are one at the provider, of any tenant.
        connector: through which it goes.
        principal: the name of the caller, for the audit log.
        amount: what is to be set, holder's side.
        effective_at: the resolved instant, None where the provider takes none.
        memo: None without one.
        reference_number: None without one.
        idempotency_key: the caller's; None without one. Unique within a tenant.
        fingerprint: a hash of what the caller asked for, so that a key used for something else
            is told apart from a repetition.
        previous: the opening balance that was known before; None: none was known.
        started_at: when it was recorded as begun.
    """

    id: str
    tenant: str
    account_id: str
    remote_account: str
    connector: str
    principal: str
    amount: Money
    effective_at: datetime | None
    memo: str | None
    reference_number: str | None
    idempotency_key: str | None
    fingerprint: str
    previous: OpeningBalance | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """A write as the journal has it.

    Attributes:
        intent: what was to be done.
        outcome: what became of it, so far.
        finished_at: None while STARTED.
        applied: for APPLIED: what stands now, as answered or read back; else None.
        verified: whether ``applied`` was read back from the provider.
        error_code: for REJECTED and UNCERTAIN, the stable code of the error; else None.
        error_message: likewise; safe to show.
        error_retryable: whether the same write can be tried again.
        error_field: the input field at fault; None without one.
    """

    intent: WriteIntent
    outcome: WriteOutcome
    finished_at: datetime | None = None
    applied: OpeningBalance | None = None
    verified: bool = False
    error_code: str | None = None
    error_message: str | None = None
    error_retryable: bool = False
    error_field: str | None = None


@dataclass(frozen=True, slots=True)
class UnsettledWrite:
    """A write that may still land: so much of its record as can be read, whatever became of it.

    Attributes:
        id: of the write.
        tenant: whose account it is.
        account_id: the gateway's account id.
        started_at: None: what was recorded is no instant.
    """

    id: str
    tenant: str
    account_id: str
    started_at: datetime | None

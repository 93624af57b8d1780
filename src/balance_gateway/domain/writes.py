"""Defines the journal's records of writes and their outcomes.

A write is recorded as started, then sent at most once, then finished with exactly one outcome. A
write that was started and not finished before its lease ended (its process died) is resolved. An
UNCERTAIN write is *unsettled* until a read proves or disproves it, a later write supersedes it, or
a person settles it.
"""

import enum
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.money import Money


class WriteOutcome(enum.Enum):
    """State of a write; all except STARTED are outcomes."""

    STARTED = "started"
    APPLIED = "applied"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


class SettledBy(enum.Enum):
    """How an UNCERTAIN write was settled.

    PROVED: a read showed what was sent; it is APPLIED. DISPROVED: a read that began when the write
    could no longer take effect showed something else; it is REJECTED. SUPERSEDED: a later write
    that began when this one could no longer take effect was applied; it stays UNCERTAIN, and no
    longer matters. PERSON: a caller decided between APPLIED and REJECTED.
    """

    PROVED = "proved"
    DISPROVED = "disproved"
    SUPERSEDED = "superseded"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Settlement:
    """How, when and by whom an UNCERTAIN write was settled.

    Attributes:
        how: how it was settled.
        at: when it was recorded as settled.
        principal: the name of the caller who settled it; None when the gateway did.
        note: the caller's reason, or the id of the write that superseded it; None without one.
    """

    how: SettledBy
    at: datetime
    principal: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class WriteIntent:
    """A write before it is sent.

    Attributes:
        id: the gateway's own unique id, created before anything is sent.
        tenant: the tenant of the account.
        account_id: the gateway's account id.
        remote_account: identifies the account at the provider. Equal for all accounts, of any
            tenant, that are the same account there.
        connector: the name of the connector that sends the write.
        principal: the name of the caller, for the audit log.
        amount: the opening balance to set, from the holder's side.
        effective_at: the resolved instant; None when the provider accepts none.
        memo: a free-text note; None without one.
        reference_number: a user-visible identifier; None without one.
        idempotency_key: the caller's key, unique within a tenant; None without one.
        fingerprint: a hash of the caller's request. It distinguishes a repeated request from a
            different request under the same key.
        previous: the opening balance before the write; None when none was set or known.
        started_at: when the write was recorded as started.
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
    """A write as recorded in the journal.

    Attributes:
        intent: the write that was requested.
        outcome: the current state.
        finished_at: when the outcome was recorded; None while STARTED.
        applied: for APPLIED, the opening balance as returned by the provider or read back;
            otherwise None.
        verified: whether ``applied`` was read back from the provider.
        error_code: for REJECTED and UNCERTAIN, the text of the ``ErrorCode``; otherwise None.
        error_message: for REJECTED and UNCERTAIN, the message, safe to show to the caller;
            otherwise None.
        error_retryable: whether the same write can be tried again.
        error_field: the invalid input field; None without one.
        found: for UNCERTAIN, the opening balance that reading back showed; for REJECTED, the one
            that was set instead of the expected one; None when it was not read, or none was set.
        provider_code: the provider's own stable code of the error; None without one.
        settlement: how an UNCERTAIN write was settled; None while it is not, and for all others.
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
    found: OpeningBalance | None = None
    provider_code: str | None = None
    settlement: Settlement | None = None

    @property
    def is_unsettled(self) -> bool:
        """Whether it is not known if the provider has the opening balance of this write."""
        return self.outcome is WriteOutcome.UNCERTAIN and self.settlement is None


@dataclass(frozen=True, slots=True)
class UnsettledWrite:
    """A write that may still take effect at the provider.

    It has only the columns that can be read even when the rest of the row is damaged.

    Attributes:
        id: the id of the write.
        tenant: the tenant of the account.
        account_id: the gateway's account id.
        started_at: when the write was recorded as started; None when the recorded value is not a
            valid instant.
    """

    id: str
    tenant: str
    account_id: str
    started_at: datetime | None

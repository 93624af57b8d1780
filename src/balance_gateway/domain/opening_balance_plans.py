"""Defines plans: many opening balances that are checked, approved and applied together.

A plan is received in parts, read (what is set now, per account), then ready. Applying it sends each
row at most once, if the account still has what was read. A plan with an invalid row is refused, and
nothing of it is ever sent.
"""

import enum
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.money import Money

#: Maximum number of rows of a plan.
PLAN_ROWS_MAX = 100_000


class PlanState(enum.Enum):
    """State of a plan.

    RECEIVING: parts are missing. READING: the gateway reads what is set now. REFUSED: rows are
    invalid; nothing is sent. READY: it can be applied, after an approval if it needs one. APPLYING:
    the gateway sends its rows. PAUSED: the storage was restored from a backup that was made while
    it was APPLYING; nothing is sent until a caller applies it once more. FINISHED: every row has
    its outcome. EXPIRED: it was not applied in time; this state is never stored.
    """

    RECEIVING = "receiving"
    READING = "reading"
    REFUSED = "refused"
    READY = "ready"
    APPLYING = "applying"
    PAUSED = "paused"
    FINISHED = "finished"
    EXPIRED = "expired"


class RowOutcome(enum.Enum):
    """What became of a row; all except PENDING are final, and UNCERTAIN until it is settled.

    INVALID: it cannot be applied, and its plan is refused. UNCHANGED: the account had the value
    already, and nothing was sent. The others are as for a single write.
    """

    PENDING = "pending"
    INVALID = "invalid"
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


class PreviousState(enum.Enum):
    """What is known of the opening balance that an account had when its plan was read.

    VALUE: it is known. NONE: none was set. UNREADABLE: the provider cannot return it and the
    gateway has recorded none, so the row is applied only while that is still so. FAILED: it could
    not be read, and the row is not sent.
    """

    VALUE = "value"
    NONE = "none"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PlanApproval:
    """The approval of a plan.

    Attributes:
        principal: the name of the caller who approved it.
        at: when it was approved.
        content_hash: the hash of the rows that were approved.
    """

    principal: str
    at: datetime
    content_hash: str


@dataclass(frozen=True, slots=True)
class PlanTotal:
    """The sums of a plan's rows in one currency, in minor units.

    Attributes:
        currency: ISO 4217 code.
        rows: the number of rows.
        unknown: the number of rows with an unknown previous opening balance.
        planned: the sum of the new opening balances.
        previous: the sum of the previous ones, where none counts as 0; None if one is unknown.
    """

    currency: str
    rows: int
    unknown: int
    planned: int
    previous: int | None


@dataclass(frozen=True, slots=True)
class PlanConnector:
    """The part of a plan at one connector.

    Attributes:
        name: the configured name.
        rows: the number of rows.
        missing: the operations that it lacks for at least one of the accounts, of those that
            matter to a plan.
    """

    name: str
    rows: int
    missing: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What reading the accounts of a plan showed.

    Attributes:
        totals: the sums, sorted by currency.
        connectors: the connectors, sorted by name.
        unchanged: the number of rows whose account has the value already.
        unknown: the number of rows with an unknown previous opening balance.
    """

    totals: tuple[PlanTotal, ...]
    connectors: tuple[PlanConnector, ...]
    unchanged: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, without its rows.

    Attributes:
        id: the unique id.
        tenant: the tenant; the plan does not exist for others.
        state: the stored state; see ``find_state``.
        needs_approval: whether another principal must approve it before it is applied.
        made_by: the name of the caller who made it.
        made_at: when its first part was received.
        expires_at: from when on it can be neither approved nor applied.
        parts: the number of parts that were received.
        row_count: the number of rows.
        idempotency_key: the caller's key of the first part; None without one.
        content_hash: the hash of the rows with what was read; None until it is ready.
        summary: what reading showed; None until it is ready.
        approval: the approval; None without one.
        applied_by: the name of the caller who applied it first; None before.
        applied_at: when it was applied first; None before.
        finished_at: when its last row had its outcome; None before.
        resumed_at: when it was applied last after it was PAUSED; None if it never was.
    """

    id: str
    tenant: str
    state: PlanState
    needs_approval: bool
    made_by: str
    made_at: datetime
    expires_at: datetime
    parts: int = 0
    row_count: int = 0
    idempotency_key: str | None = None
    content_hash: str | None = None
    summary: PlanSummary | None = None
    approval: PlanApproval | None = None
    applied_by: str | None = None
    applied_at: datetime | None = None
    finished_at: datetime | None = None
    resumed_at: datetime | None = None

    def find_state(self, now: datetime) -> PlanState:
        """Return the state at an instant: EXPIRED instead of RECEIVING or READY when it is due."""
        if self.state in (PlanState.RECEIVING, PlanState.READY) and now >= self.expires_at:
            return PlanState.EXPIRED
        return self.state

    @property
    def is_approved(self) -> bool:
        """Whether exactly this content was approved."""
        return self.approval is not None and self.approval.content_hash == self.content_hash


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of a plan.

    Attributes:
        line: the line in the caller's file; unique in the plan.
        account_id: the gateway's account id; empty when the sent text cannot be one.
        outcome: what became of the row.
        connector: the name of the account's connector; None for an invalid row.
        remote_account: the account at the provider; None for an invalid row.
        amount: the new opening balance, from the holder's side; None for an invalid row.
        effective_at: the instant; None when the row has none.
        memo: a free-text note; None without one.
        reference_number: a user-visible identifier; None without one.
        previous_state: what is known of the previous opening balance; None until it was read.
        previous: the previous opening balance; None when none was set or known.
        previous_at: when it was observed; None until it was read.
        is_unchanged: whether the account had the value already when the plan was read.
        write_id: the write in the journal; None without one.
        code: why the row is invalid, rejected or uncertain, or its previous opening balance
            unknown: the text of an ``ErrorCode``; None without a reason.
        message: the reason for the caller; None without one.
        field: the invalid field; None without one.
        retryable: whether the same row can succeed in a later plan.
    """

    line: int
    account_id: str
    outcome: RowOutcome = RowOutcome.PENDING
    connector: str | None = None
    remote_account: str | None = None
    amount: Money | None = None
    effective_at: datetime | None = None
    memo: str | None = None
    reference_number: str | None = None
    previous_state: PreviousState | None = None
    previous: OpeningBalance | None = None
    previous_at: datetime | None = None
    is_unchanged: bool = False
    write_id: str | None = None
    code: str | None = None
    message: str | None = None
    field: str | None = None
    retryable: bool = False

    def as_invalid(self, code: str, message: str, field: str | None) -> "PlanRow":
        """Return the row as INVALID, with the reason."""
        return replace(self, outcome=RowOutcome.INVALID, code=code, message=message, field=field)


def is_same_principal(first: str, second: str) -> bool:
    """Return whether two names of callers of one tenant must be taken for the same principal.

    Two keys may have one name, and a token's subject may be a key's name: then it is not known that
    two persons are behind them. Names that only look different are the same for the same reason.
    """
    return _fold(first) == _fold(second)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()

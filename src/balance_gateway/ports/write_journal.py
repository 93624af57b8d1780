"""Defines the write journal: the durable record of every write."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from balance_gateway.domain.errors import Internal
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord


class AccountBusy(Exception):
    """Another write of the same remote account has started and not finished."""


class WriteNotBegun(LookupError):
    """The journal has no write with this id."""


class JournalUnavailable(Internal):
    """The journal could not be read or written; a later attempt may succeed."""

    @property
    def retryable(self) -> bool:
        """True, unlike for other errors with this code: no write was sent because of it."""
        return True


class WriteJournal(Protocol):
    """Durable record of writes: one row per write and one audit row per change of it."""

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        """Record the intent durably, or return the existing record with its idempotency key.

        In one transaction: if the tenant has a record with this idempotency key, that record is
        returned unchanged (the caller compares ids and fingerprints). If the remote account has
        a STARTED write younger than ``lease_s``, AccountBusy is raised; an older one is first
        finished as UNCERTAIN. Otherwise the intent is stored as STARTED and returned.

        Raises:
            AccountBusy: see above.
        """
        ...

    async def finish(self, record: WriteRecord) -> None:
        """Record the outcome of a STARTED or UNCERTAIN write; repeating the call is harmless.

        An APPLIED or REJECTED record is never changed again. A REJECTED record with a retryable
        error releases its idempotency key: nothing happened, and the caller may try again with
        the same key. A record that was UNCERTAIN keeps its place among the finished writes:
        those that were applied since were sent later.

        Raises:
            WriteNotBegun: the write was never recorded as started.
        """
        ...

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        """Return the record with this idempotency key, or None."""
        ...

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        """Return the APPLIED write of a remote account that finished last, or None."""
        ...

    async def unfinished(self) -> Sequence[WriteRecord]:
        """Return all readable STARTED writes, oldest first, at most 10,000."""
        ...

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        """Return STARTED and UNCERTAIN writes started at or after the instant.

        Their effect at the provider may still appear.
        """
        ...


class WriteSettlements(Protocol):
    """The unsettled writes: UNCERTAIN and without a settlement."""

    async def unsettled_of(self, remote_accounts: Collection[str]) -> Sequence[WriteRecord]:
        """Return the unsettled writes of remote accounts, oldest first.

        Raises:
            JournalUnavailable: the journal could not be read.
            Exception: a row is unreadable, so that the caller must expect an unsettled write.
        """
        ...

    async def unsettled(self) -> Sequence[WriteRecord]:
        """Return all readable unsettled writes, oldest first, at most 10,000."""
        ...

    async def settle(self, record: WriteRecord, *, last: WriteRecord | None) -> bool:
        """Record the settlement of an unsettled write, with the outcome that follows from it.

        An APPLIED write becomes the last applied one of its remote account.

        Args:
            record: the write with its settlement; APPLIED, REJECTED, or UNCERTAIN when superseded.
            last: the last applied write of the remote account before that was observed which
                settles the write; None when there was none.

        Returns:
            False when the write is not unsettled, or another one has been applied since ``last``;
            nothing was changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class WriteFilter:
    """Selects writes that match all of its criteria; None matches every write.

    Attributes:
        outcomes: the states of writes.
        account_ids: the gateway's account ids.
        since: the earliest start.
    """

    outcomes: frozenset[WriteOutcome] | None = None
    account_ids: frozenset[str] | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class WritePosition:
    """The position of a write in the list of a tenant's writes.

    Attributes:
        started_at: when the write was recorded as started.
        id: the id of the write.
    """

    started_at: datetime
    id: str


class WriteHistory(Protocol):
    """The recorded writes of a tenant."""

    async def by_id(self, tenant: str, write_id: str) -> WriteRecord | None:
        """Return a write; None when it does not exist or belongs to another tenant."""
        ...

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> Sequence[WriteRecord]:
        """Return readable writes that match a filter, newest first.

        Args:
            tenant: the tenant; no write of another tenant is returned.
            selected: the filter.
            limit: the maximum number of writes, at least 1.
            after: the position before the page; None for the newest.
        """
        ...

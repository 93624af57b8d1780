"""The write journal as the use cases see it: the durable record of every write."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from balance_gateway.domain.errors import Internal
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteRecord


class AccountBusy(Exception):
    """Another write of the same remote account has been begun and not finished."""


class JournalUnavailable(Internal):
    """The journal could not be asked, or could not record; it may answer later."""

    code = "INTERNAL"
    retryable = True


class WriteJournal(Protocol):
    """The durable record of writes: one row per write, and an audit row for every change of it."""

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        """Records the intent durably, or returns the record that already has its key.

        In one transaction: if the tenant has a record with this idempotency key, that record is
        returned as it stands (the caller compares ids and fingerprints). If the remote account has
        a STARTED write that is younger than ``lease_s``, AccountBusy is raised; one that is older
        is finished as UNCERTAIN first. Otherwise the intent is stored as STARTED and returned.

        Raises:
            AccountBusy: see above.
        """
        ...

    async def finish(self, record: WriteRecord) -> None:
        """Records the outcome of a STARTED or UNCERTAIN write. Finishing twice alike is harmless.

        An APPLIED, or REJECTED, record is never changed again. A REJECTED record whose error is
        retryable gives its idempotency key free: nothing happened, and the caller was told to
        try again.
        """
        ...

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        """The record with this key; None when there is none."""
        ...

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        """The newest APPLIED write of a remote account, in the order of finishing; None: none."""
        ...

    async def unfinished(self) -> Sequence[WriteRecord]:
        """All STARTED writes that can be read, oldest first, at most 10,000."""
        ...

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        """STARTED and UNCERTAIN writes started at or after the instant: they may still land."""
        ...

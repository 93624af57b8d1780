"""Defines the audit log for its readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from balance_gateway.domain.audit import AuditEntry, AuditEvent


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Selects entries that match all of its criteria; None matches every entry.

    Attributes:
        account_ids: the gateway's account ids.
        events: the changes.
        since: the earliest instant.
        until: the instant before which the entries are.
    """

    account_ids: frozenset[str] | None = None
    events: frozenset[AuditEvent] | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog(Protocol):
    """The audit log of all tenants. Only the journal and the plans write to it."""

    async def page(
        self,
        tenant: str,
        selected: AuditFilter,
        limit: int,
        after: int | None,
        *,
        oldest_first: bool = False,
    ) -> Sequence[AuditEntry]:
        """Return entries that match a filter, sorted by number.

        Args:
            tenant: the tenant; no entry of another tenant is returned.
            selected: the filter.
            limit: the maximum number of entries, at least 1.
            after: the number of the entry before the page; None for the start.
            oldest_first: whether the numbers rise; otherwise they fall.

        Raises:
            JournalUnavailable: the storage could not be read.
        """
        ...

"""Formats the lines of an audit export from the entries that the API returns."""

import json
from collections.abc import Sequence

from balance_gateway.domain.audit import RemovedRows
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.storage import audit_export

#: The members of ``RemovedRows``, in their order.
Seal = tuple[int, int, str, str, int]


class UnwritableEntry(Exception):
    """An entry is not what an export can hold."""


def format_header() -> bytes:
    """Return the first line of an export that is made now."""
    return audit_export.format_header(system_clock())


def format_entry(record: str, number: int, hash_: str | None, removed: Sequence[Seal]) -> bytes:
    """Return the lines of an entry: the seals of the rows removed before it, and its row.

    Args:
        record: the text that the hash is made from.
        number: the number of the row.
        hash_: the hash of the row; None for a row of a release without the chain.
        removed: the seals.

    Raises:
        UnwritableEntry: the record is no JSON object with a tenant.
    """
    try:
        members = json.loads(record)
        tenant = members["tenant"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnwritableEntry from None
    lines = [audit_export.format_removed(tenant, RemovedRows(*seal)) for seal in removed]
    return b"".join([*lines, audit_export.format_row({**members, "number": number, "hash": hash_})])

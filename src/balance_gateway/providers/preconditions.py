"""What an adapter checks of its input before anything is sent."""

import re
from datetime import UTC, date, datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.calendar_days import day_end_exclusive, day_end_inclusive
from balance_gateway.domain.errors import BadInput, Unsupported
from balance_gateway.domain.money import fits_int64

#: The providers' ids: UUIDs and prefixed strings. No dot and no slash, so no way out of a path.
_REMOTE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def remote_id(account: Account, key: str) -> str:
    """The provider's id that the account is configured with.

    Raises:
        BadInput: it is missing, or no id that a provider gives out; ``field`` is the key.
    """
    value = account.remote.get(key)
    if value is None or not _REMOTE_ID.fullmatch(value):
        fault = "has no" if value is None else "has a malformed"
        message = f"The account {fault} {key}: set it in the account's configuration."
        raise BadInput(message, field=key, account_id=account.id, provider=account.provider.name)
    return value


def optional_remote_id(account: Account, key: str) -> str | None:
    """Likewise; None when it is not configured."""
    return remote_id(account, key) if key in account.remote else None


def last_instant(account: Account, day: date) -> datetime:
    """The last instant of the day in the account's zone, in UTC (inclusive bound)."""
    try:
        return day_end_inclusive(day, account.time_zone)
    except OverflowError:
        raise _day_out_of_range(account) from None


def first_instant_after(account: Account, day: date) -> datetime:
    """The first instant after the day in the account's zone, in UTC (exclusive bound)."""
    try:
        return day_end_exclusive(day, account.time_zone)
    except OverflowError:
        raise _day_out_of_range(account) from None


def _day_out_of_range(account: Account) -> BadInput:
    message = "asOf is too close to the end of the calendar."
    return BadInput(message, field="asOf", account_id=account.id)


def effective_at(write: OpeningBalanceWrite) -> datetime:
    """The instant that the write takes effect at, in UTC.

    Raises:
        BadInput: there is none, or it has no offset.
    """
    given = write.effective_at
    if given is None or given.tzinfo is None:
        message = "effectiveAt has to be given, as an instant with an offset."
        raise BadInput(message, field="effectiveAt", account_id=write.account.id)
    return given.astimezone(UTC)


def instant_text(at: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; microseconds only when there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def refuse_notes(write: OpeningBalanceWrite, who: str) -> None:
    """Refuses a memo or a reference number, for providers that can keep neither.

    Raises:
        Unsupported: ``field`` names the one that is given.
    """
    notes = {"memo": write.memo, "referenceNumber": write.reference_number}
    for field, note in notes.items():
        if note is not None:
            message = f"{who} cannot store a {field} with an opening balance: leave it out."
            raise Unsupported(message, field=field, account_id=write.account.id)


def own_currency(write: OpeningBalanceWrite) -> int:
    """The amount's minor units, once it is certain that they are the account's.

    Raises:
        BadInput: the amount is in another currency.
    """
    if write.amount.currency != write.account.currency:
        message = f"The account is in {write.account.currency}: give the amount in it."
        raise BadInput(message, field="amount.currency", account_id=write.account.id)
    return write.amount.minor_units


def within_int64(minor_units: int, write: OpeningBalanceWrite, who: str) -> int:
    """The amount, once it is certain that an int64 of the provider can carry it.

    Raises:
        BadInput: it cannot.
    """
    if not fits_int64(minor_units):
        message = f"{who} takes amounts within 64 bits of minor units only."
        raise BadInput(message, field="amount", account_id=write.account.id)
    return minor_units

"""Check an adapter's input before anything is sent."""

import re
from datetime import UTC, date, datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.calendar_days import day_end_exclusive, day_end_inclusive
from balance_gateway.domain.errors import BadInput, Unsupported
from balance_gateway.domain.money import fits_int64

#: The providers' ids are UUIDs and prefixed strings. Without dot and slash an id cannot change
#: the structure of a path.
_REMOTE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def require_remote_id(account: Account, key: str) -> str:
    """Return the provider's id from the account's configuration.

    Raises:
        BadInput: The id is missing, or is malformed; ``field`` is the key.
    """
    value = account.remote.get(key)
    if value is None or not is_remote_id(value):
        fault = "has no" if value is None else "has a malformed"
        message = f"The account {fault} {key}: set it in the account's configuration."
        raise BadInput(message, field=key, account_id=account.id, provider=account.provider.name)
    return value


def is_remote_id(value: str | None) -> bool:
    """Return whether ``require_remote_id`` accepts the value."""
    return value is not None and _REMOTE_ID.fullmatch(value) is not None


def find_remote_id(account: Account, key: str) -> str | None:
    """Return the provider's id from the account's configuration; None if it is not configured.

    Raises:
        BadInput: The id is malformed; ``field`` is the key.
    """
    return require_remote_id(account, key) if key in account.remote else None


def get_last_instant(account: Account, day: date) -> datetime:
    """Return the last instant of the day in the account's time zone, in UTC (inclusive bound)."""
    try:
        return day_end_inclusive(day, account.time_zone)
    except OverflowError:
        raise _build_day_out_of_range(account) from None


def get_first_instant_after(account: Account, day: date) -> datetime:
    """Return the first instant after the day in the account's zone, in UTC (exclusive bound)."""
    try:
        return day_end_exclusive(day, account.time_zone)
    except OverflowError:
        raise _build_day_out_of_range(account) from None


def _build_day_out_of_range(account: Account) -> BadInput:
    message = "asOf is too close to the end of the calendar: choose another day."
    return BadInput(message, field="asOf", account_id=account.id)


def require_effective_at(write: OpeningBalanceWrite) -> datetime:
    """Return the instant at which the write takes effect, in UTC.

    Raises:
        BadInput: The instant is missing, or has no offset.
    """
    at = write.effective_at
    if at is None or at.tzinfo is None:
        message = "effectiveAt must be set to an instant with an offset."
        raise BadInput(message, field="effectiveAt", account_id=write.account.id)
    return at.astimezone(UTC)


def reject_notes(write: OpeningBalanceWrite, provider_name: str) -> None:
    """Reject a memo or a reference number, for providers that can store neither.

    Raises:
        Unsupported: One of them is set; ``field`` names it.
    """
    notes = {"memo": write.memo, "referenceNumber": write.reference_number}
    for field, note in notes.items():
        if note is not None:
            message = f"{provider_name} cannot store a {field} with an opening balance: omit it."
            raise Unsupported(message, field=field, account_id=write.account.id)


def require_account_currency(write: OpeningBalanceWrite) -> int:
    """Return the amount's minor units after checking its currency.

    Raises:
        BadInput: The amount is not in the account's currency.
    """
    if write.amount.currency != write.account.currency:
        message = f"amount.currency must be the account's currency, {write.account.currency}."
        raise BadInput(message, field="amount.currency", account_id=write.account.id)
    return write.amount.minor_units


def require_int64(minor_units: int, write: OpeningBalanceWrite, provider_name: str) -> int:
    """Return the amount after checking that the provider's int64 can hold it.

    Raises:
        BadInput: The amount does not fit into 64 bits.
    """
    if not fits_int64(minor_units):
        message = f"{provider_name} only accepts amounts that fit into 64 bits of minor units."
        raise BadInput(message, field="amount", account_id=write.account.id)
    return minor_units

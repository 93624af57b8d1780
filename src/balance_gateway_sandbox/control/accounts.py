"""Find, describe and change accounts for the control API."""

from dataclasses import asdict
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from starlette.exceptions import HTTPException

from balance_gateway_sandbox.state.account_book import BOTH_BASES, AccountBook, Basis, Entry
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.posting import post_asset, post_layer
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.wire_format import (
    format_instant,
    has_supported_digits,
    parse_day,
    parse_instant,
    to_plain_decimal,
)


class EntryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry as specified in `POST /_control/transactions`.

    Attributes:
        account: Light's bank account id, Asset's ledger id or Layer's external account id.
        amount: Decimal text or an integer in the provider's unit: major units at Asset, minor
            units elsewhere. Positive means money in, for every provider.
        at: A date-time, or a date, which means noon UTC of that day.
        book: Whether the bank's statement, the company's ledger or both contain the entry.
        basis: The accounting bases under which the ledger counts the entry.
    """

    provider: Provider
    account: str
    amount: str | int
    at: str
    book: Literal["bank", "ledger", "both"] = "both"
    basis: Literal["accrual", "cash", "both"] = "both"
    memo: str = "Added by control"


def find_book(state: SandboxState, provider: Provider, account: str) -> AccountBook:
    """Return the account with this id.

    Raises:
        HTTPException: 404 if the account does not exist.
    """
    records = state.records
    if provider == "light" and account in records.light:
        return records.light[account].book
    for asset in records.asset.values() if provider == "asset" else ():
        if account in asset.ledgers:
            return asset.ledgers[account].book
    for layer in records.layer.values() if provider == "layer" else ():
        if account in layer.accounts:
            return layer.accounts[account].book
    raise HTTPException(404, f"account {account!r} does not exist at {provider}")


def describe_account(book: AccountBook) -> dict[str, Any]:
    """Return the stored state of one account: amounts as decimal text, entries sorted by time."""
    opening = None
    if book.opening is not None:
        at = {
            n: format_instant(getattr(book.opening, n)) for n in ("at", "created_at", "updated_at")
        }
        opening = asdict(book.opening) | at | {"amount": format(book.opening.amount, "f")}
    entries = [
        {
            "id": entry.entry_id,
            "at": format_instant(entry.at),
            "amount": format(entry.amount, "f"),
            "memo": entry.memo,
            "on_bank": entry.on_bank,
            "on_books": entry.on_books,
            "bases": sorted(entry.bases),
        }
        for entry in sorted(book.entries, key=lambda entry: entry.at)
    ]
    return {
        "account": book.remote_id,
        "name": book.name,
        "currency": book.currency,
        "normal_side": book.normal_side,
        "opening": opening,
        "entries": entries,
    }


def add_entry(state: SandboxState, body: dict[str, Any]) -> dict[str, Any]:
    """Add an entry and return its id.

    Raises:
        ValueError: A field is missing, unknown or invalid.
    """
    new = msgspec.convert(body, EntryRequest)
    find_book(state, new.provider, new.account)
    bases: dict[str, frozenset[Basis]] = {"accrual": frozenset({"accrual"})}
    bases["cash"] = frozenset({"cash"})
    entry = Entry(
        entry_id=state.new_id("je") if new.provider == "asset" else state.new_uuid(),
        at=_parse_entry_time(new.at),
        amount=_parse_amount(new),
        memo=new.memo,
        on_bank=new.book != "ledger",
        on_books=new.book != "bank",
        bases=bases.get(new.basis, BOTH_BASES),
    )
    _post_entry(state, new, entry)
    return {"id": entry.entry_id}


def _post_entry(state: SandboxState, new: EntryRequest, entry: Entry) -> None:
    if new.provider == "light":
        state.records.light[new.account].book.entries.append(entry)
    for asset in state.records.asset.values() if new.provider == "asset" else ():
        if new.account in asset.ledgers:
            post_asset(asset, new.account, entry)
    for layer in state.records.layer.values() if new.provider == "layer" else ():
        if new.account in layer.accounts:
            post_layer(layer, new.account, entry)


def _parse_amount(new: EntryRequest) -> Decimal:
    try:
        amount = Decimal(new.amount)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not has_supported_digits(amount):
        message = "amount must be a decimal number"
        raise ValueError(message)
    if new.provider != "asset" and amount != amount.to_integral_value():
        message = "amount must be an integer number of minor units"
        raise ValueError(message)
    return to_plain_decimal(amount)


def _parse_entry_time(text: str) -> datetime:
    day = parse_day(text)
    at = datetime.combine(day, time(12), UTC) if day is not None else parse_instant(text)
    if at is None:
        message = "at must be a date, or a date-time with a UTC offset"
        raise ValueError(message)
    return at

"""What `/_control` does with the books: find an account, tell its truth, add an entry."""

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
    """An entry as `POST /_control/transactions` takes it.

    Attributes:
        account: Light's bank account, Asset's ledger or Layer's external account id.
        amount: Decimal text or integer in the provider's unit (minor units; at Asset major ones);
            + is money in, at every provider.
        at: A date-time, or a date for its noon in UTC.
        book: Whose side has it.
        basis: Under which accounting basis the books count it.
    """

    provider: Provider
    account: str
    amount: str | int
    at: str
    book: Literal["bank", "ledger", "both"] = "both"
    basis: Literal["accrual", "cash", "both"] = "both"
    memo: str = "Added by control"


def find_book(state: SandboxState, provider: Provider, account: str) -> AccountBook:
    """The account with this id; HTTPException 404 when there is none."""
    records = state.records
    if provider == "light" and account in records.light:
        return records.light[account].book
    for asset in records.asset.values() if provider == "asset" else ():
        if account in asset.ledgers:
            return asset.ledgers[account].book
    for layer in records.layer.values() if provider == "layer" else ():
        if account in layer.accounts:
            return layer.accounts[account].book
    raise HTTPException(404, "No such account")


def describe_account(book: AccountBook) -> dict[str, Any]:
    """The stored truth of one account: amounts as decimal text, entries by time."""
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
        for entry in sorted(book.entries, key=lambda one: one.at)
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
    """Add an entry and tell its id.

    Raises:
        ValueError: a field is missing, unknown or wrong.
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
        message = "amount: expected a decimal number"
        raise ValueError(message)
    if new.provider != "asset" and amount != amount.to_integral_value():
        message = "amount: expected an integer of minor units"
        raise ValueError(message)
    return to_plain_decimal(amount)


def _parse_entry_time(text: str) -> datetime:
    day = parse_day(text)
    at = datetime.combine(day, time(12), UTC) if day is not None else parse_instant(text)
    if at is None:
        message = "at: expected a date or a date-time with an offset"
        raise ValueError(message)
    return at

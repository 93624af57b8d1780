"""What `/_control` does with the books: find an account, tell its truth, add an entry."""

from dataclasses import asdict
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from starlette.exceptions import HTTPException

from balance_gateway_sandbox.state.account_book import BOTH_BASES, Basis, Book, Entry
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.posting import post_asset, post_layer
from balance_gateway_sandbox.state.sandbox_state import World
from balance_gateway_sandbox.wire_format import fits, instant_text, parse_day, parse_instant, plain


class NewEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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


def find_book(world: World, provider: Provider, account: str) -> Book:
    """The account with this id; HTTPException 404 when there is none."""
    holdings = world.holdings
    if provider == "light" and account in holdings.light:
        return holdings.light[account].book
    for asset in holdings.asset.values() if provider == "asset" else ():
        if account in asset.ledgers:
            return asset.ledgers[account].book
    for layer in holdings.layer.values() if provider == "layer" else ():
        if account in layer.accounts:
            return layer.accounts[account].book
    raise HTTPException(404, "No such account")


def state_of(book: Book) -> dict[str, Any]:
    """The stored truth of one account: amounts as decimal text, entries by time."""
    opening = None
    if book.opening is not None:
        at = {n: instant_text(getattr(book.opening, n)) for n in ("at", "created_at", "updated_at")}
        opening = asdict(book.opening) | at | {"amount": format(book.opening.amount, "f")}
    entries = [
        {
            "id": entry.entry_id,
            "at": instant_text(entry.at),
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


def add_entry(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """Add an entry and tell its id.

    Raises:
        ValueError: a field is missing, unknown or wrong.
    """
    new = msgspec.convert(body, NewEntry)
    find_book(world, new.provider, new.account)
    bases: dict[str, frozenset[Basis]] = {"accrual": frozenset({"accrual"})}
    bases["cash"] = frozenset({"cash"})
    entry = Entry(
        entry_id=world.new_id("je") if new.provider == "asset" else world.new_uuid(),
        at=_instant(new.at),
        amount=_amount(new),
        memo=new.memo,
        on_bank=new.book != "ledger",
        on_books=new.book != "bank",
        bases=bases.get(new.basis, BOTH_BASES),
    )
    _post(world, new, entry)
    return {"id": entry.entry_id}


def _post(world: World, new: NewEntry, entry: Entry) -> None:
    if new.provider == "light":
        world.holdings.light[new.account].book.entries.append(entry)
    for asset in world.holdings.asset.values() if new.provider == "asset" else ():
        if new.account in asset.ledgers:
            post_asset(asset, new.account, entry)
    for layer in world.holdings.layer.values() if new.provider == "layer" else ():
        if new.account in layer.accounts:
            post_layer(layer, new.account, entry)


def _amount(new: NewEntry) -> Decimal:
    try:
        amount = Decimal(new.amount)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not fits(amount):
        message = "amount: expected a decimal number"
        raise ValueError(message)
    if new.provider != "asset" and amount != amount.to_integral_value():
        message = "amount: expected an integer of minor units"
        raise ValueError(message)
    return plain(amount)


def _instant(text: str) -> datetime:
    day = parse_day(text)
    at = datetime.combine(day, time(12), UTC) if day is not None else parse_instant(text)
    if at is None:
        message = "at: expected a date or a date-time with an offset"
        raise ValueError(message)
    return at

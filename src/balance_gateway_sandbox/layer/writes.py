"""Layer's writes: stating a balance, recalculating the opening balance, setting it outright.

Source: docs.layerfi.com. "Sets the balance of the account at a specific time"; then "Overwrite the
opening balance … based on the current balance and the transaction history". Undocumented: how the
history is used. Here the opening balance is what the account held before its first bank
transaction, worked back from the balance stated last, and dated by that transaction — or by the
stated balance when no transaction precedes it. `layer_recalculate = "as_stated"` keeps both as
stated instead.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from balance_gateway_sandbox import provider_errors as errors
from balance_gateway_sandbox.state.account_book import Opening, on_side
from balance_gateway_sandbox.state.sandbox_state import (
    LayerAccount,
    LayerBusiness,
    StatedBalance,
    World,
)
from balance_gateway_sandbox.wire_format import is_int64, parse_day, parse_instant


def post_balance(
    world: World, business: LayerBusiness, account: LayerAccount, body: dict[str, Any]
) -> None:
    """State a balance: `{amount: cents, date: date-time}`."""
    amount, at = _cents(world, body, "amount"), _instant(world, body, "date")
    refuse_closed(world, business, at)
    account.stated = StatedBalance(amount, at, world.clock.now())


def post_opening_balance(
    world: World, business: LayerBusiness, account: LayerAccount, body: dict[str, Any]
) -> Opening:
    """Set the opening balance itself: `{effective_at, balance: cents}`."""
    amount, at = _cents(world, body, "balance"), _instant(world, body, "effective_at")
    refuse_closed(world, business, at)
    return _store(world, account, Decimal(amount), at)


def recalculate(world: World, business: LayerBusiness, account: LayerAccount) -> Opening:
    """Work the opening balance out; "should be done after explicitly setting the balance"."""
    stated = account.stated
    if stated is None:
        raise errors.layer(
            world.options,
            400,
            "Set the balance of the account first",
            kind="InvalidState",
            error_enum="ExternalAccountBalanceReconciliationError",
        )
    amount, at = Decimal(stated.amount), stated.at
    earlier = [e for e in account.book.entries if e.on_bank and e.at <= stated.at]
    if earlier and world.options.layer_recalculate == "from_history":
        at = min(entry.at for entry in earlier)
        moved = account.book.total(lambda e: e.on_bank and e.at <= stated.at)
        amount -= on_side(moved, account.book.normal_side)
    refuse_closed(world, business, at)
    return _store(world, account, amount, at)


def refuse_closed(world: World, business: LayerBusiness, at: datetime) -> None:
    """Refuse an entry in a closed period: "entries before this date will fail"."""
    closing_at = business.closing_at
    if world.options.layer_closing_date is not None:
        closing_at = parse_instant(f"{world.options.layer_closing_date}T00:00:00Z")
    if closing_at is not None and at < closing_at:
        raise errors.layer(
            world.options,
            400,
            "The period is closed",
            kind="LedgerOperationFailed",
            error_enum="PeriodIsClosed",
        )


def _store(world: World, account: LayerAccount, amount: Decimal, at: datetime) -> Opening:
    now, book = world.clock.now(), account.book
    if book.opening is None:
        book.opening = Opening(world.new_uuid(), amount, at, now, now)
    else:
        book.opening = replace(book.opening, amount=amount, at=at, updated_at=now)
    return book.opening


def _cents(world: World, body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if not is_int64(value):
        raise _invalid(world, f"{name}: expected an integer, in cents", "InvalidPayload")
    assert isinstance(value, int)
    return value


def _instant(world: World, body: dict[str, Any], name: str) -> datetime:
    """A date-time of the body. Undocumented: a bare date is refused."""
    at = parse_instant(body.get(name))
    if at is None:
        is_day = isinstance(body.get(name), str) and parse_day(body[name]) is not None
        error_enum = "InvalidEffectiveDate" if is_day else "InvalidPayload"
        raise _invalid(world, f"{name}: expected a date-time with an offset", error_enum)
    return at


def _invalid(world: World, message: str, error_enum: str) -> errors.Refusal:
    kind = "InvalidParameters"
    return errors.layer(world.options, 400, message, kind=kind, error_enum=error_enum)

"""Apply Layer's writes: set a balance, recalculate or set the opening balance.

Source: docs.layerfi.com. "Sets the balance of the account at a specific time"; then "Overwrite the
opening balance … based on the current balance and the transaction history". Undocumented: how the
history is used. Here the opening balance is the account's balance before its first bank
transaction, worked back from the last stated balance, and has that transaction's date, or the
stated balance's date when no transaction precedes it. `layer_recalculate = "as_stated"` uses the
stated amount and date unchanged.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.state.account_book import OpeningBalance, convert_side
from balance_gateway_sandbox.state.records import LayerAccount, LayerBusiness, StatedBalance
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.wire_format import is_int64, parse_day, parse_instant


def set_balance(
    state: SandboxState, business: LayerBusiness, account: LayerAccount, body: dict[str, Any]
) -> None:
    """Set the balance at an instant: `{amount: cents, date: date-time}`."""
    amount, at = _parse_cents(state, body, "amount"), _parse_instant_field(state, body, "date")
    check_period_open(state, business, at)
    account.stated = StatedBalance(amount, at, state.clock.now())


def set_opening_balance(
    state: SandboxState, business: LayerBusiness, account: LayerAccount, body: dict[str, Any]
) -> OpeningBalance:
    """Set the opening balance directly: `{effective_at, balance: cents}`."""
    amount, at = (
        _parse_cents(state, body, "balance"),
        _parse_instant_field(state, body, "effective_at"),
    )
    check_period_open(state, business, at)
    return _store_opening(state, account, Decimal(amount), at)


def recalculate_opening_balance(
    state: SandboxState, business: LayerBusiness, account: LayerAccount
) -> OpeningBalance:
    """Compute the opening balance; "should be done after explicitly setting the balance"."""
    stated = account.stated
    if stated is None:
        raise provider_errors.layer_error(
            state.options,
            400,
            "Set the balance of the account first",
            kind="InvalidState",
            error_enum="ExternalAccountBalanceReconciliationError",
        )
    amount, at = Decimal(stated.amount), stated.at
    earlier = [e for e in account.book.entries if e.on_bank and e.at <= stated.at]
    if earlier and state.options.layer_recalculate == "from_history":
        at = min(entry.at for entry in earlier)
        moved = account.book.sum_entries(lambda e: e.on_bank and e.at <= stated.at)
        amount -= convert_side(moved, account.book.normal_side)
    check_period_open(state, business, at)
    return _store_opening(state, account, amount, at)


def check_period_open(state: SandboxState, business: LayerBusiness, at: datetime) -> None:
    """Raise an error if `at` is in a closed period: "entries before this date will fail"."""
    closing_at = business.closing_at
    if state.options.layer_closing_date is not None:
        closing_at = parse_instant(f"{state.options.layer_closing_date}T00:00:00Z")
    if closing_at is not None and at < closing_at:
        raise provider_errors.layer_error(
            state.options,
            400,
            "The period is closed",
            kind="LedgerOperationFailed",
            error_enum="PeriodIsClosed",
        )


def _store_opening(
    state: SandboxState, account: LayerAccount, amount: Decimal, at: datetime
) -> OpeningBalance:
    now, book = state.clock.now(), account.book
    if book.opening is None:
        book.opening = OpeningBalance(state.new_uuid(), amount, at, now, now)
    else:
        # An update keeps the id and the creation time.
        book.opening = replace(book.opening, amount=amount, at=at, updated_at=now)
    return book.opening


def _parse_cents(state: SandboxState, body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if not is_int64(value):
        raise _build_invalid_error(
            state, f"{name}: expected an integer, in cents", "InvalidPayload"
        )
    assert isinstance(value, int)
    return value


def _parse_instant_field(state: SandboxState, body: dict[str, Any], name: str) -> datetime:
    """Parse a date-time of the body. Undocumented: a bare date is refused."""
    at = parse_instant(body.get(name))
    if at is None:
        is_day = isinstance(body.get(name), str) and parse_day(body[name]) is not None
        error_enum = "InvalidEffectiveDate" if is_day else "InvalidPayload"
        raise _build_invalid_error(
            state, f"{name}: expected a date-time with an offset", error_enum
        )
    return at


def _build_invalid_error(
    state: SandboxState, message: str, error_enum: str
) -> provider_errors.ProviderError:
    kind = "InvalidParameters"
    return provider_errors.layer_error(
        state.options, 400, message, kind=kind, error_enum=error_enum
    )

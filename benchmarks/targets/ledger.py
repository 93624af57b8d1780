"""The 1,000 accounts of the measured tenant, and their figures as the gateway returns them."""

import base64
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from benchmarks import accounts
from benchmarks.configuration import Layout

#: The second tenant has the accounts of the embedded ledger, but for one.
BOOKS_KEY = "benchmark-key-of-the-embedded-ledger"
CHANGED = accounts.build_account_id("local", 0)
BOOKS_COUNT = 50

COUNTS: Mapping[accounts.Kind, int] = {"light": 999, "local": 51}

LIGHT_IDS = accounts.list_ids("light", COUNTS["light"])
BOOKS_IDS = accounts.list_ids("local", COUNTS["local"])[1:]

#: All accounts of the measured tenant, sorted as its pages are: 999 at Light, one embedded.
ALL_IDS = sorted([*LIGHT_IDS, CHANGED])


def build_layout(storage_url: str | None = None) -> Layout:
    """Build the layout of the gateway under test; None for SQLite."""
    return Layout(
        COUNTS, "books", BOOKS_KEY, storage_url, scopes=("balances:read", "balances:write")
    )


def get_today() -> str:
    """Return the day of today in the time zone of all accounts."""
    return datetime.now(UTC).date().isoformat()


def get_kind(account: str) -> str:
    """Return the provider of an account, which is also the name of its connector."""
    return account.partition("-")[0]


def build_connector_id(name: str) -> str:
    """Build the gateway's id of a connector."""
    return f"connector:{name}"


def get_name(account: str) -> str:
    """Return the name of an account."""
    return f"Account {int(account.partition('-')[2])}"


def build_cursor(account: str) -> str:
    """Build the cursor after an account; the account need not exist."""
    return base64.urlsafe_b64encode(f"a1:{account}".encode()).decode().rstrip("=")


def select_page(ids: Sequence[str], cursor: str | None, first: int) -> Sequence[str]:
    """Select the page of sorted ids after a cursor."""
    start = 0
    if cursor is not None:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        start = bisect_right(ids, raw.removeprefix("a1:"))
    return ids[start : start + first]


def filter_ids(condition: Mapping[str, Any] | None) -> list[str]:
    """Select the accounts of a BankAccountFilter, sorted."""
    condition = condition or {}
    ids = condition.get("ids")
    currencies = condition.get("currencies")
    connectors = condition.get("connectors")
    text = condition.get("nameContains", "").casefold()
    return [
        each
        for each in (ALL_IDS if ids is None else sorted(ids))
        if (currencies is None or accounts.get_currency(get_kind(each)) in currencies)
        and (connectors is None or build_connector_id(get_kind(each)) in connectors)
        and text in get_name(each).casefold()
    ]


def build_money(minor_units: int | None) -> dict[str, str] | None:
    """Build the expected ``{ minorUnits }`` of an amount."""
    return None if minor_units is None else {"minorUnits": str(minor_units)}


def format_amount(minor_units: int | None) -> str | None:
    """Format an amount in major units as ``Money.amount``."""
    return None if minor_units is None else str(Decimal(minor_units).scaleb(-2))


def build_balance(account: str, day: str = accounts.DAY) -> dict[str, Any]:
    """Build the expected ``{ asOf bank { minorUnits } ledger { minorUnits } }``."""
    figures = accounts.get_figures(account)
    return {
        "asOf": day,
        "bank": build_money(figures.bank),
        "ledger": build_money(figures.ledger),
    }


def build_node(account: str, **more: Any) -> dict[str, Any]:
    """Build the expected node of an account, with further fields."""
    currency = accounts.get_currency(get_kind(account))
    return {"id": account, "currency": currency, "balance": build_balance(account), **more}


def build_totals(ids: Iterable[str]) -> list[dict[str, Any]]:
    """Build the expected totals of accounts, sorted by currency."""
    by_currency: dict[str, list[accounts.Figures]] = {}
    for each in ids:
        currency = accounts.get_currency(get_kind(each))
        by_currency.setdefault(currency, []).append(accounts.get_figures(each))
    return [
        {"currency": currency, "ledger": build_money(sum(each.ledger for each in figures))}
        | {"included": len(figures)}
        for currency, figures in sorted(by_currency.items())
    ]


def list_days(first: str, last: str) -> list[str]:
    """List the days from ``first`` to ``last``, both included."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days)).isoformat() for days in range((end - start).days + 1)]

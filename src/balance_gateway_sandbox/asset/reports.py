"""Serve Asset's reports: the trial balance of a business and the statement of one ledger.

Source: docs.getasset.com, Reports. `end_datetime` "required, inclusive"; `basis`
`accrual|modified_cash`, default modified_cash. "All data prior to [entries_start] will be ignored".
Undocumented: `modified_cash` counts the same entries as cash; a row shows its net amount on one
side only; `all_time_balance` covers entries_start to `end_datetime`, on the ledger's normal side.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.state.account_book import Basis, Entry, convert_side, sum_exactly
from balance_gateway_sandbox.state.records import AssetBusiness, AssetLedger
from balance_gateway_sandbox.wire_format import (
    build_json_response,
    format_instant,
    parse_instant,
    to_plain_decimal,
)

_BASES: Final[dict[str, Basis]] = {"accrual": "accrual", "modified_cash": "cash"}
_ZERO: Final = Decimal(0)


class AssetReports:
    """The report routes.

    `find_business` and `find_ledger` return the records in the path or raise a `ProviderError`.
    """

    def __init__(
        self,
        find_business: Callable[[Request], AssetBusiness],
        find_ledger: Callable[[Request], tuple[AssetBusiness, AssetLedger]],
    ) -> None:
        self._find_business = find_business
        self._find_ledger = find_ledger

    def build_routes(self, prefix: str) -> list[Route]:
        """Build the routes under `prefix`."""
        return [
            Route(f"{prefix}/trial-balance", self.get_trial_balance, methods=["GET"]),
            Route(
                f"{prefix}/ledger-statement/{{ledger_id}}",
                self.get_ledger_statement,
                methods=["GET"],
            ),
        ]

    async def get_trial_balance(self, request: Request) -> Response:
        """Return one row per ledger with its balance in debit or in credit."""
        business = self._find_business(request)
        until = _parse_instant_parameter(request, "end_datetime")
        totals = compute_debit_totals(business, until, _parse_basis(request))
        rows = []
        for ledger_id, ledger in business.ledgers.items():
            total = totals[ledger_id]
            rows.append(
                {
                    "name": ledger.book.name,
                    "ledger_id": ledger_id,
                    "ledger_type": ledger.type,
                    "debit": to_plain_decimal(max(total, _ZERO)),
                    "credit": to_plain_decimal(max(-total, _ZERO)),
                    "has_entries": any(
                        _is_counted(business, e, until) for e in ledger.book.entries
                    ),
                }
            )
        return build_json_response({"data": rows})

    async def get_ledger_statement(self, request: Request) -> Response:
        """Return pages of the entries of one ledger between two instants, both inclusive."""
        business, ledger = self._find_ledger(request)
        book = ledger.book
        since, until = (
            _parse_instant_parameter(request, "start_datetime"),
            _parse_instant_parameter(request, "end_datetime"),
        )
        entries = sorted(
            (e for e in book.entries if _is_counted(business, e, until) and e.at >= since),
            key=lambda entry: (entry.at, entry.entry_id),
        )
        start, size = _parse_page(request)
        more = start + size < len(entries)
        balances = {
            "all_time_balance": compute_debit_totals(business, until, "accrual")[book.remote_id],
            "range_balance": sum_exactly(entry.amount for entry in entries),
        }
        data = {
            "ledger_id": book.remote_id,
            "start_datetime": format_instant(since),
            "end_datetime": format_instant(until),
            "balances": {
                name: to_plain_decimal(convert_side(amount, book.normal_side))
                for name, amount in balances.items()
            },
            "entries": [
                _entry_to_json(book.remote_id, entry) for entry in entries[start : start + size]
            ],
            "pagination": {
                "next_page_token": str(start + size) if more else None,
                "previous_page_token": str(max(0, start - size)) if start else None,
            },
        }
        return build_json_response({"data": data})


def compute_debit_totals(
    business: AssetBusiness, until: datetime, basis: Basis
) -> dict[str, Decimal]:
    """Compute the total of every ledger at `until`. Debits are positive; all totals sum to zero."""
    opened = until >= business.entries_start
    totals = {}
    for ledger_id, ledger in business.ledgers.items():
        moved = ledger.book.sum_entries(
            lambda e: _is_counted(business, e, until) and basis in e.bases
        )
        opening = ledger.book.compute_opening_debit() if opened else _ZERO
        totals[ledger_id] = sum_exactly((moved, opening))
    if opened:
        # Offset all opening balances on one ledger, so that debits equal credits.
        openings = [ledger.book.compute_opening_debit() for ledger in business.ledgers.values()]
        for ledger_id, ledger in business.ledgers.items():
            if ledger.subtype == "opening_balance":
                totals[ledger_id] -= sum_exactly(openings)
    return totals


def _is_counted(business: AssetBusiness, entry: Entry, until: datetime) -> bool:
    return entry.on_books and business.entries_start <= entry.at <= until


def _entry_to_json(ledger_id: str, entry: Entry) -> dict[str, Any]:
    side = "debit" if entry.amount >= 0 else "credit"
    line = {
        "ledger_id": ledger_id,
        "debit_credit": side,
        "amount": to_plain_decimal(abs(entry.amount)),
    }
    return {
        "id": entry.entry_id,
        "datetime": format_instant(entry.at),
        "memo": entry.memo,
        "line_entries": [line],
    }


def _parse_basis(request: Request) -> Basis:
    basis = request.query_params.get("basis", "modified_cash")
    if basis not in _BASES:
        raise provider_errors.asset_error(422, "Validation error", [{"loc": ["query", "basis"]}])
    return _BASES[basis]


def _parse_instant_parameter(request: Request, name: str) -> datetime:
    at = parse_instant(request.query_params.get(name))
    if at is None:
        message = "a date-time with an offset is required"
        raise provider_errors.asset_error(
            422, "Validation error", [{"loc": ["query", name], "msg": message}]
        )
    return at


def _parse_page(request: Request) -> tuple[int, int]:
    """Return the start and the size of the page: `page_size` 1..100, default 100."""
    token = request.query_params.get("page_token", "0")
    size = request.query_params.get("page_size", "100")
    for name, text in (("page_token", token), ("page_size", size)):
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise provider_errors.asset_error(422, "Validation error", [{"loc": ["query", name]}])
    if not 1 <= int(size) <= 100:
        raise provider_errors.asset_error(
            422, "Validation error", [{"loc": ["query", "page_size"]}]
        )
    return int(token), int(size)

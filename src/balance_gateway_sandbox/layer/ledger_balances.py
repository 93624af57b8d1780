"""Build Layer's ledger balances: a tree of accounts, each including its sub-accounts.

Source: docs.layerfi.com, Get ledger balances. "Start date (inclusive) … End date (exclusive)";
`reporting_basis` `ACCRUAL|CASH`, default ACCRUAL; a balance is on its account's own normal side.
Undocumented: a bare date (as Layer's client sends it) is midnight UTC; without `end_date`, entries
up to and including now are counted.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, Final

from starlette.datastructures import QueryParams

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.state.account_book import Basis, convert_side, sum_exactly
from balance_gateway_sandbox.state.records import LayerBusiness, LedgerNode
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.wire_format import parse_day, parse_instant

_BASES: Final[dict[str, Basis]] = {"ACCRUAL": "accrual", "CASH": "cash"}


def build_ledger_balances(
    business: LayerBusiness, query: QueryParams, state: SandboxState
) -> list[dict[str, Any]]:
    """Return the root accounts of the tree with their nested sub-accounts.

    Raises:
        ProviderError: 400 for an invalid date or basis.
    """
    since, until = (
        _parse_instant_parameter(query, "start_date", state),
        _parse_instant_parameter(query, "end_date", state),
    )
    basis = query.get("reporting_basis", "ACCRUAL")
    if basis not in _BASES:
        raise _build_parameter_error(state, "reporting_basis: expected ACCRUAL or CASH")
    now = state.clock.now()

    def is_in_range(at: datetime) -> bool:
        return (since is None or at >= since) and (at < until if until is not None else at <= now)

    own = _compute_own_totals(business, is_in_range, _BASES[basis])
    children: dict[str | None, list[LedgerNode]] = {}
    for node in business.nodes.values():
        children.setdefault(node.parent_id, []).append(node)
    as_object = state.options.layer_account_ids == "object"

    def build_branch(node: LedgerNode) -> tuple[Decimal, dict[str, Any]]:
        below = [build_branch(child) for child in children.get(node.node_id, [])]
        total = sum_exactly([own[node.node_id], *(amount for amount, _ in below)])
        return total, {
            "id": {"type": "AccountId", "id": node.node_id} if as_object else node.node_id,
            "name": node.name,
            "stable_name": node.stable_name,
            "normality": node.normality.upper(),
            "account_type": node.account_type,
            "account_subtype": node.account_subtype,
            "balance": int(convert_side(total, node.normality)),
            "entries": [],
            "sub_accounts": [view for _, view in below],
        }

    return [build_branch(root)[1] for root in children[None]]


def _compute_own_totals(
    business: LayerBusiness, is_in_range: Callable[[datetime], bool], basis: Basis
) -> dict[str, Decimal]:
    """Compute each node's total without its children. Debits are positive."""
    totals = {node_id: Decimal(0) for node_id in business.nodes}
    opened = Decimal(0)
    for node in business.nodes.values():
        if node.book is None:
            continue
        book = node.book
        total = book.sum_entries(lambda e: e.on_books and basis in e.bases and is_in_range(e.at))
        if book.opening is not None and is_in_range(book.opening.at):
            total += book.compute_opening_debit()
            opened += book.compute_opening_debit()
        totals[node.node_id] = total
    # Equity offsets all opening balances, so that debits equal credits.
    for node in business.nodes.values():
        if node.account_subtype == "OPENING_BALANCE":
            totals[node.node_id] = -opened
    return totals


def _parse_instant_parameter(query: QueryParams, name: str, state: SandboxState) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    day = parse_day(text)
    at = datetime.combine(day, time(), UTC) if day is not None else parse_instant(text)
    if at is None:
        raise _build_parameter_error(state, f"{name}: expected a date-time")
    return at


def _build_parameter_error(state: SandboxState, message: str) -> provider_errors.ProviderError:
    kind = "InvalidParameters"
    return provider_errors.layer_error(
        state.options, 400, message, kind=kind, error_enum="QueryParamFormat"
    )

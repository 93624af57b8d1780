"""Layer's ledger balances: the tree of accounts, each rolled up into its parent.

Source: docs.layerfi.com, Get ledger balances. "Start date (inclusive) … End date (exclusive)";
`reporting_basis` `ACCRUAL|CASH`, default ACCRUAL; a balance is on its account's own normal side.
Undocumented: a bare date (as Layer's client sends it) is midnight UTC; without `end_date` entries
up to and including now count.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, Final

from starlette.datastructures import QueryParams

from balance_gateway_sandbox import provider_errors as errors
from balance_gateway_sandbox.state.account_book import Basis, exact_sum, on_side
from balance_gateway_sandbox.state.sandbox_state import LayerBusiness, LedgerNode, World
from balance_gateway_sandbox.wire_format import parse_day, parse_instant

_BASES: Final[dict[str, Basis]] = {"ACCRUAL": "accrual", "CASH": "cash"}


def ledger_balances(
    business: LayerBusiness, query: QueryParams, world: World
) -> list[dict[str, Any]]:
    """The root accounts of the tree, with their sub-accounts inside.

    Raises:
        Refusal: 400 for a date or basis that is not one.
    """
    since, until = _instant(query, "start_date", world), _instant(query, "end_date", world)
    basis = query.get("reporting_basis", "ACCRUAL")
    if basis not in _BASES:
        raise _bad_parameter(world, "reporting_basis: expected ACCRUAL or CASH")
    now = world.clock.now()

    def covers(at: datetime) -> bool:
        return (since is None or at >= since) and (at < until if until is not None else at <= now)

    own = _own_totals(business, covers, _BASES[basis])
    children: dict[str | None, list[LedgerNode]] = {}
    for node in business.nodes.values():
        children.setdefault(node.parent_id, []).append(node)
    as_object = world.options.layer_account_ids == "object"

    def branch(node: LedgerNode) -> tuple[Decimal, dict[str, Any]]:
        below = [branch(child) for child in children.get(node.node_id, [])]
        total = exact_sum([own[node.node_id], *(amount for amount, _ in below)])
        return total, {
            "id": {"type": "AccountId", "id": node.node_id} if as_object else node.node_id,
            "name": node.name,
            "stable_name": node.stable_name,
            "normality": node.normality.upper(),
            "account_type": node.account_type,
            "account_subtype": node.account_subtype,
            "balance": int(on_side(total, node.normality)),
            "entries": [],
            "sub_accounts": [view for _, view in below],
        }

    return [branch(root)[1] for root in children[None]]


def _own_totals(
    business: LayerBusiness, covers: Callable[[datetime], bool], basis: Basis
) -> dict[str, Decimal]:
    """Each node's own total without its children, + being a debit."""
    totals = {node_id: Decimal(0) for node_id in business.nodes}
    opened = Decimal(0)
    for node in business.nodes.values():
        if node.book is None:
            continue
        book = node.book
        total = book.total(lambda e: e.on_books and basis in e.bases and covers(e.at))
        if book.opening is not None and covers(book.opening.at):
            total += book.opening_debit()
            opened += book.opening_debit()
        totals[node.node_id] = total
    for node in business.nodes.values():
        if node.account_subtype == "OPENING_BALANCE":
            totals[node.node_id] = -opened
    return totals


def _instant(query: QueryParams, name: str, world: World) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    day = parse_day(text)
    at = datetime.combine(day, time(), UTC) if day is not None else parse_instant(text)
    if at is None:
        raise _bad_parameter(world, f"{name}: expected a date-time")
    return at


def _bad_parameter(world: World, message: str) -> errors.Refusal:
    kind = "InvalidParameters"
    return errors.layer(world.options, 400, message, kind=kind, error_enum="QueryParamFormat")

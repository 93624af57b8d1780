"""The queries of the benchmarks: request bodies, and checks of the responses."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from benchmarks import accounts

_FIGURES = "asOf bank { minorUnits } ledger { minorUnits }"
_MONEY = "{ minorUnits amount currency exponent }"
_ALL = (
    f"asOf bank {_MONEY} ledger {_MONEY} difference {_MONEY}"
    " freshness { state observedAt ageSeconds staleReason }"
)
_LIST = "query Dashboard($ids: [ID!]!, $asOf: Date!) {{ nodes(ids: $ids) {{ ... on BankAccount {{"
_DASHBOARD = (_LIST + " id currency balance(asOf: $asOf) {{ {} }} }} }} }}").format

Expect = Callable[[Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A query over a list of accounts.

    Attributes:
        head: the request body before the accounts.
        tail: the request body after them.
        item: the text of one account; ``%s`` is replaced by its id.
        separator: between two accounts.
        expect: returns the expected data of a response, without freshness.
        numbered: whether each account gets an alias: ``a0: ``, ``a1: `` and so on.
    """

    head: str
    tail: str
    item: str
    separator: str
    expect: Expect
    numbered: bool = False

    def build_body(self, ids: Sequence[str]) -> bytes:
        """Build the request body for these accounts."""
        items = [self.item.replace("%s", account_id) for account_id in ids]
        if self.numbered:
            items = [f"a{index}: {item}" for index, item in enumerate(items)]
        return (self.head + self.separator.join(items) + self.tail).encode()

    def find_problem(self, ids: Sequence[str], status: int, raw: bytes) -> str | None:
        """Describe the first problem of a response; None for a correct one."""
        if status != 200:
            return f"HTTP {status}: {raw[:200]!r}"
        response = json.loads(raw)
        if errors := response.get("errors"):
            return f"{len(errors)} errors, the first: {str(errors[0])[:300]}"
        actual, expected = _remove_freshness(response["data"]), self.expect(ids)
        if actual == expected:
            return None
        return f"got {str(actual)[:300]}, not {str(expected)[:300]}"


def _remove_freshness(value: Any) -> Any:
    """Remove freshness, except for unexpected states, which then fail the comparison."""
    if isinstance(value, list):
        return [_remove_freshness(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "freshness" in value and value["freshness"]["state"] not in ("LIVE", "CACHED"):
        return {"freshness": value["freshness"]}
    return {key: _remove_freshness(each) for key, each in value.items() if key != "freshness"}


def _build_head_and_tail(query: str, before: str, after: str) -> tuple[str, str]:
    start = f'{{"query":{json.dumps(query)},"variables":{{"asOf":"{accounts.DAY}",{before}'
    return start, f"{after}}}}}"


def _build_list_query(query: str, expect: Expect) -> Query:
    head, tail = _build_head_and_tail(query, '"ids":[', "]")
    return Query(head, tail, '"%s"', ",", expect)


def _build_money(
    minor_units: int | None, account: str, *, all_fields: bool
) -> dict[str, Any] | None:
    if minor_units is None:
        return None
    if not all_fields:
        return {"minorUnits": str(minor_units)}
    return {
        "minorUnits": str(minor_units),
        "amount": str(Decimal(minor_units).scaleb(-2)),
        "currency": accounts.get_currency(account.partition("-")[0]),
        "exponent": 2,
    }


def _build_node(account: str, *, all_fields: bool = False) -> dict[str, Any]:
    figures = accounts.get_figures(account)
    balance = {
        "asOf": accounts.DAY,
        "bank": _build_money(figures.bank, account, all_fields=all_fields),
        "ledger": _build_money(figures.ledger, account, all_fields=all_fields),
    }
    if all_fields:
        difference = None if figures.bank is None else figures.bank - figures.ledger
        balance["difference"] = _build_money(difference, account, all_fields=True)
    currency = accounts.get_currency(account.partition("-")[0])
    return {"id": account, "currency": currency, "balance": balance}


def _expect_nodes(ids: Sequence[str]) -> Any:
    return {"nodes": [_build_node(each) for each in ids]}


def _expect_nodes_with_all_fields(ids: Sequence[str]) -> Any:
    return {"nodes": [_build_node(each, all_fields=True) for each in ids]}


def _expect_opening_balances(ids: Sequence[str]) -> Any:
    def build_node(account: str) -> dict[str, Any]:
        amount = _build_money(accounts.get_figures(account).opening, account, all_fields=False)
        return {"id": account, "openingBalance": {"amount": amount, "source": "DERIVED"}}

    return {"nodes": [build_node(each) for each in ids]}


def _expect_totals(ids: Sequence[str]) -> Any:
    figures = [accounts.get_figures(each) for each in ids]
    bank = sum(each.bank or 0 for each in figures)
    ledger = sum(each.ledger for each in figures)
    total = {
        "currency": "EUR",
        "bank": {"minorUnits": str(bank)},
        "ledger": {"minorUnits": str(ledger)},
        "included": len(ids),
    }
    return {"balanceTotals": [total]}


def _build_single_query() -> Query:
    text = (
        "query One($id: ID!, $asOf: Date!) { bankAccount(id: $id) {"
        f" id currency balance(asOf: $asOf) {{ {_FIGURES} }} }} }}"
    )
    head, tail = _build_head_and_tail(text, '"id":', "")
    return Query(head, tail, '"%s"', ",", lambda ids: {"bankAccount": _build_node(ids[0])})


def _build_alias_query() -> Query:
    item = (
        f'bankAccount(id: "%s") {{ id currency balance(asOf: "{accounts.DAY}") {{ {_FIGURES} }} }}'
    )
    return Query(
        head='{"query":"{ ',
        tail=' }"}',
        item=json.dumps(item)[1:-1],
        separator=" ",
        expect=lambda ids: {f"a{index}": _build_node(each) for index, each in enumerate(ids)},
        numbered=True,
    )


ONE = _build_single_query()
DASHBOARD = _build_list_query(_DASHBOARD(_FIGURES), _expect_nodes)
EVERYTHING = _build_list_query(_DASHBOARD(_ALL), _expect_nodes_with_all_fields)
ALIASES = _build_alias_query()
OPENINGS = _build_list_query(
    "query Openings($ids: [ID!]!) { nodes(ids: $ids) { ... on BankAccount {"
    " id openingBalance { amount { minorUnits } source } } } }",
    _expect_opening_balances,
)
TOTALS = _build_list_query(
    "query Totals($ids: [ID!]!, $asOf: Date!) { balanceTotals(filter: {ids: $ids}, asOf: $asOf) {"
    " currency bank { minorUnits } ledger { minorUnits } included } }",
    _expect_totals,
)

"""The queries of the benchmarks: how a request is put together, and what its answer has to hold."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from benchmarks import books

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
    """A kind of request.

    Attributes:
        head: the body up to the accounts.
        tail: the body after them.
        item: what stands for one account; ``%s`` is its id.
        separator: between two accounts.
        numbered: whether each account is preceded by a response name of its own, ``a0: ``.
        expect: the data of the right answer, without freshness.
    """

    head: str
    tail: str
    item: str
    separator: str
    expect: Expect
    numbered: bool = False

    def body(self, ids: Sequence[str]) -> bytes:
        """The request for these accounts."""
        items = [self.item.replace("%s", one) for one in ids]
        if self.numbered:
            items = [f"a{place}: {item}" for place, item in enumerate(items)]
        return (self.head + self.separator.join(items) + self.tail).encode()

    def wrong(self, ids: Sequence[str], status: int, raw: bytes) -> str | None:
        """What is wrong with an answer; None when nothing is."""
        if status != 200:
            return f"HTTP {status}: {raw[:200]!r}"
        answer = json.loads(raw)
        if answer.get("errors"):
            return f"{len(answer['errors'])} errors, the first: {str(answer['errors'][0])[:300]}"
        got, wanted = _without_freshness(answer["data"]), self.expect(ids)
        return None if got == wanted else f"got {str(got)[:300]}, not {str(wanted)[:300]}"


def _without_freshness(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_freshness(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "freshness" in value and value["freshness"]["state"] not in ("LIVE", "CACHED"):
        return {"freshness": value["freshness"]}
    return {key: _without_freshness(one) for key, one in value.items() if key != "freshness"}


def _with_variables(query: str, before: str, after: str) -> tuple[str, str]:
    start = f'{{"query":{json.dumps(query)},"variables":{{"asOf":"{books.DAY}",{before}'
    return start, f"{after}}}}}"


def _over_list(query: str, expect: Expect) -> Query:
    head, tail = _with_variables(query, '"ids":[', "]")
    return Query(head, tail, '"%s"', ",", expect)


def _money(minor_units: int | None, account: str, *, all_fields: bool) -> dict[str, Any] | None:
    if minor_units is None:
        return None
    if not all_fields:
        return {"minorUnits": str(minor_units)}
    return {
        "minorUnits": str(minor_units),
        "amount": str(Decimal(minor_units).scaleb(-2)),
        "currency": books.currency(account.partition("-")[0]),
        "exponent": 2,
    }


def _node(account: str, *, all_fields: bool = False) -> dict[str, Any]:
    told = books.figures(account)
    balance = {
        "asOf": books.DAY,
        "bank": _money(told.bank, account, all_fields=all_fields),
        "ledger": _money(told.ledger, account, all_fields=all_fields),
    }
    if all_fields:
        difference = None if told.bank is None else told.bank - told.ledger
        balance["difference"] = _money(difference, account, all_fields=True)
    currency = books.currency(account.partition("-")[0])
    return {"id": account, "currency": currency, "balance": balance}


def _nodes(ids: Sequence[str]) -> Any:
    return {"nodes": [_node(one) for one in ids]}


def _nodes_with_all(ids: Sequence[str]) -> Any:
    return {"nodes": [_node(one, all_fields=True) for one in ids]}


def _openings(ids: Sequence[str]) -> Any:
    def opening(account: str) -> dict[str, Any]:
        amount = _money(books.figures(account).opening, account, all_fields=False)
        return {"id": account, "openingBalance": {"amount": amount, "source": "DERIVED"}}

    return {"nodes": [opening(one) for one in ids]}


def _totals(ids: Sequence[str]) -> Any:
    figures = [books.figures(one) for one in ids]
    bank = sum(one.bank or 0 for one in figures)
    ledger = sum(one.ledger for one in figures)
    total = {
        "currency": "EUR",
        "bank": {"minorUnits": str(bank)},
        "ledger": {"minorUnits": str(ledger)},
        "included": len(ids),
    }
    return {"balanceTotals": [total]}


def _single() -> Query:
    text = (
        "query One($id: ID!, $asOf: Date!) { bankAccount(id: $id) {"
        f" id currency balance(asOf: $asOf) {{ {_FIGURES} }} }} }}"
    )
    head, tail = _with_variables(text, '"id":', "")
    return Query(head, tail, '"%s"', ",", lambda ids: {"bankAccount": _node(ids[0])})


def _aliases() -> Query:
    item = f'bankAccount(id: "%s") {{ id currency balance(asOf: "{books.DAY}") {{ {_FIGURES} }} }}'
    return Query(
        head='{"query":"{ ',
        tail=' }"}',
        item=json.dumps(item)[1:-1],
        separator=" ",
        expect=lambda ids: {f"a{place}": _node(one) for place, one in enumerate(ids)},
        numbered=True,
    )


ONE = _single()
DASHBOARD = _over_list(_DASHBOARD(_FIGURES), _nodes)
EVERYTHING = _over_list(_DASHBOARD(_ALL), _nodes_with_all)
ALIASES = _aliases()
OPENINGS = _over_list(
    "query Openings($ids: [ID!]!) { nodes(ids: $ids) { ... on BankAccount {"
    " id openingBalance { amount { minorUnits } source } } } }",
    _openings,
)
TOTALS = _over_list(
    "query Totals($ids: [ID!]!, $asOf: Date!) { balanceTotals(filter: {ids: $ids}, asOf: $asOf) {"
    " currency bank { minorUnits } ledger { minorUnits } included } }",
    _totals,
)

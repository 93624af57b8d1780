"""Hypothesis strategies for documents: aliases, fragments, literal and variable arguments."""

import json
from typing import Any

from hypothesis import strategies as st

MONEY = ("minorUnits", "amount", "currency", "exponent", "__typename")
FRESHNESS = ("state", "observedAt", "ageSeconds", "staleReason", "__typename")
TAG = ("id", "key", "value", "dimensionId", "definitionId", "dimensionDisplayName", "archivedAt")
DAYS = ("2026-05-07", "2026-05-08", "2026-01-01", None)
ACCOUNT_FIELDS = ("id", "name", "currency", "provider", "normalBalance", "__typename")
IDS = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "unknown")


def leaves(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A selection of leaf fields, some with an alias, some repeated."""
    name = st.sampled_from(names)
    aliased = st.tuples(st.sampled_from(("x", "y")), name).map(
        lambda pair: f"{pair[0]}{pair[1]}: {pair[1]}"
    )
    return st.lists(name | aliased, min_size=1, max_size=4).map(" ".join)


money = leaves(MONEY).map(lambda inner: f"{{ {inner} }}")
freshness = leaves(FRESHNESS).map(lambda inner: f"freshness {{ {inner} }}")
balance_member = (
    st.sampled_from(("asOf", "__typename"))
    | st.tuples(st.sampled_from(("bank", "ledger", "difference")), money).map(" ".join)
    | freshness
)
opening_member = (
    st.sampled_from(
        ("effectiveAt", "source", "createdAt", "memo", "referenceNumber", "metadata", "__typename")
    )
    | money.map(lambda inner: f"amount {inner}")
    | leaves(TAG).map(lambda inner: f"tags {{ {inner} }}")
    | freshness
)


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """The arguments of a balance field."""
    parts = []
    match draw(st.sampled_from(("none", "literal", "variable"))):
        case "literal":
            parts.append(f"asOf: {json.dumps(draw(st.sampled_from(DAYS)))}")
        case "variable":
            parts.append("asOf: $day")
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from(("maxAgeSeconds: 20", "maxAgeSeconds: $age"))))
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from(("onStale: ERROR", "onStale: $stale"))))
    return f"({', '.join(parts)})" if parts else ""


@st.composite
def account_selection(draw: st.DrawFn) -> str:
    """A selection on an account: fields, and sometimes a fragment."""
    members = []
    for number in range(draw(st.integers(1, 4))):
        match draw(st.sampled_from(("account", "balance", "opening", "fragment"))):
            case "account":
                members.append(draw(leaves(ACCOUNT_FIELDS)))
            case "balance":
                inner = " ".join(draw(st.lists(balance_member, min_size=1, max_size=3)))
                members.append(f"b{number}: balance{draw(arguments())} {{ {inner} }}")
            case "opening":
                inner = " ".join(draw(st.lists(opening_member, min_size=1, max_size=3)))
                members.append(f"o{number}: openingBalance {{ {inner} }}")
            case "fragment":
                members.append(draw(st.sampled_from(("...Named", "... on Node { id }", "...Deep"))))
    return " ".join(members)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A document and its variables."""
    roots = []
    for number in range(draw(st.integers(1, 3))):
        selection = draw(account_selection())
        on = f"... on BankAccount {{ {selection} }}"
        ids = json.dumps(draw(st.lists(st.sampled_from(IDS[:6]), max_size=5)))
        one = json.dumps(draw(st.sampled_from(IDS)))
        roots.append(
            draw(
                st.sampled_from(
                    (
                        f"r{number}: nodes(ids: {ids}) {{ {on} }}",
                        f"r{number}: nodes(ids: $ids) {{ id {on} }}",
                        f"r{number}: bankAccount(id: {one}) {{ {selection} }}",
                        f"r{number}: bankAccount(id: $id) {{ {selection} }}",
                        f"r{number}: node(id: $id) {{ {on} }}",
                        f"r{number}: bankAccount(id: $id) @include(if: true) {{ id }}",
                    )
                )
            )
        )
    text = " ".join(roots)
    definitions = {
        "$ids": "[ID!]!",
        "$id": draw(st.sampled_from(("ID!", 'ID! = "a1"'))),
        "$day": draw(st.sampled_from(("Date", "Date!", 'Date = "2026-05-01"'))),
        "$age": draw(st.sampled_from(("Int", "Int!", "Int! = 20"))),
        "$stale": draw(st.sampled_from(("OnStale = SERVE", "OnStale", "OnStale!"))),
    }
    used = [f"{name}: {kind}" for name, kind in definitions.items() if _uses_variable(text, name)]
    head = f"query Q({', '.join(used)})" if used else "query Q"
    fragments = ""
    if "...Named" in text or "...Deep" in text:
        fragments += " fragment Named on BankAccount { name balance { asOf ledger { amount } } }"
    if "...Deep" in text:
        fragments += " fragment Deep on BankAccount { ...Named id balance { freshness { state } } }"
    variables = {
        "ids": draw(st.lists(st.sampled_from(IDS[:6]), max_size=4)),
        "id": draw(st.sampled_from(IDS)),
        "day": draw(st.sampled_from((*DAYS, "2026-02-30", 5))),
        "age": draw(st.sampled_from((None, 0, 5, 1000, -1, 2.0))),
        "stale": draw(st.sampled_from(("SERVE", "ERROR", None, "NO"))),
    }
    for name in draw(st.sets(st.sampled_from(("id", "day", "age", "stale")))):
        del variables[name]
    return f"{head} {{ {text} }}{fragments}", variables


def _uses_variable(text: str, name: str) -> bool:
    return f"{name})" in text or f"{name}," in text


@st.composite
def repeated_reads(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """The same selection on few accounts, sometimes with ``maxAgeSeconds: 0``.

    Once one of them shows a newer value, no other may show an older one.
    """
    account_id = json.dumps(draw(st.sampled_from(("a0", "a1"))))
    arguments_text = draw(st.sampled_from(("", "", "(maxAgeSeconds: 0)")))
    inner = "ledger { amount } freshness { observedAt }"
    return f"{{ bankAccount(id: {account_id}) {{ balance{arguments_text} {{ {inner} }} }} }}", {}


@st.composite
def literal_variants(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Documents of few templates that differ in their literals, valid and invalid."""
    ids = st.sampled_from((*IDS, "x" * 70))
    days = st.sampled_from(("2026-05-07", "2026-05-01", "2026-02-30", "0001-01-01", "today"))
    one, two, day = (json.dumps(draw(each)) for each in (ids, ids, days))
    documents = (
        f"{{ bankAccount(id: {one}) {{ id balance(asOf: {day}) {{ asOf }} }} }}",
        f"{{ nodes(ids: [{one}, {two}]) {{ id ... on BankAccount {{ name }} }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} node(id: {two}) {{ id }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} bankAccount(id: {two}) {{ name }} }}",
        f"{{ nodes(ids: [{one}]) {{ id }} nodes(ids: [{two}]) {{ __typename }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} }} query Other {{ node(id: {two}) {{ id }} }}",
    )
    return draw(st.sampled_from(documents)), {}

"""The GraphQL documents of the workloads, and the expected data of their responses."""

from typing import Any

from graphql import get_introspection_query

from benchmarks import accounts
from benchmarks.targets import ledger
from benchmarks.targets.requests import Variables

_DAY = f'"{accounts.DAY}"'
_MONEY = "bank { minorUnits } ledger { minorUnits }"
BALANCE = f"balance(asOf: {_DAY}) {{ asOf {_MONEY} }}"
FRESH = f"balance(asOf: {_DAY}) {{ asOf {_MONEY} freshness {{ state ageSeconds }} }}"
CONNECTOR = "connector { id health { state } budget { remaining } }"
_TOTAL = "currency ledger { minorUnits } included"

INTROSPECTION = get_introspection_query()


def build_nodes(fields: str = "", *, balance: str = BALANCE, root: str = "") -> str:
    """Build a document of ``nodes``, with further fields of an account and a further root."""
    account = f"... on BankAccount {{ id currency {balance} {fields} }}"
    return f"query Nodes($ids: [ID!]!) {{ nodes(ids: $ids) {{ {account} }} {root} }}"


NODES = build_nodes()
NODES_FRESH = build_nodes(balance=FRESH)
NODES_CONNECTOR = build_nodes(CONNECTOR)
NODES_AND_TOTALS = build_nodes(
    root=f"balanceTotals(filter: {{ids: $ids}}, asOf: {_DAY}) {{ {_TOTAL} }}"
)
NODES_AND_CONNECTORS = build_nodes(root="connectors { name provider }")
CONNECTORS = (
    "{ connectors { id name provider capabilities health { state lastSuccessAt }"
    " budget { requestsPerMinute remaining } } }"
)
FRAGMENTS = (
    "query Nodes($ids: [ID!]!) { nodes(ids: $ids) { ...Account } }"
    f" fragment Account on BankAccount {{ id currency balance(asOf: {_DAY}) {{ ...Figures }} }}"
    f" fragment Figures on Balance {{ asOf {_MONEY} }}"
)
PAGE = (
    "query Page($filter: BankAccountFilter, $after: String) {"
    " bankAccounts(filter: $filter, first: 50, after: $after) {"
    f" totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ id currency {BALANCE} }} }} }}"
)
THOUSAND = (
    "{ bankAccounts(first: 1000) { edges { cursor node { id name currency provider"
    f" capabilities balance(asOf: {_DAY}) {{ asOf ledger {{"
    " minorUnits amount currency } } } } } }"
)
TOTALS = (
    "query Totals($filter: BankAccountFilter)"
    f" {{ balanceTotals(filter: $filter, asOf: {_DAY}) {{ {_TOTAL} }} }}"
)
TOTALS_OF_IDS = (
    "query Totals($ids: [ID!]!)"
    f" {{ balanceTotals(filter: {{ids: $ids}}, asOf: {_DAY}) {{ {_TOTAL} }} }}"
)
SERIES = (
    "query Series($id: ID!, $from: Date!, $to: Date!) { bankAccount(id: $id) { id"
    f" balanceSeries(from: $from, to: $to) {{ points {{ day balance {{ {_MONEY} }}"
    " problem { code } } } } }"
)
HISTORY = (
    "query History($id: ID!, $from: Date!, $to: Date!) { bankAccount(id: $id) { id"
    f" balanceHistory(from: $from, to: $to) {{ asOf {_MONEY} }} }} }}"
)


def build_aliases(ids: list[str]) -> str:
    """Build a document with an aliased root for each account."""
    roots = (
        f'a{index}: bankAccount(id: "{each}") {{ id currency {BALANCE} }}'
        for index, each in enumerate(ids)
    )
    return f"{{ {' '.join(roots)} }}"


def expect_nodes(variables: Variables) -> Any:
    """Expect the nodes; null for an account that does not exist."""
    known = {*ledger.ALL_IDS, *ledger.BOOKS_IDS}
    ids = variables["ids"]
    return {"nodes": [ledger.build_node(each) if each in known else None for each in ids]}


def expect_nodes_with_connector(variables: Variables) -> Any:
    """Expect the nodes with the ids of their connectors; the rest of a connector is volatile."""
    nodes = []
    for each in variables["ids"]:
        connector = {"id": ledger.build_connector_id(ledger.get_kind(each))}
        nodes.append(ledger.build_node(each, connector=connector))
    return {"nodes": nodes}


def expect_nodes_and_totals(variables: Variables) -> Any:
    """Expect the nodes and their totals."""
    return expect_nodes(variables) | {"balanceTotals": ledger.build_totals(variables["ids"])}


def expect_nodes_and_connectors(variables: Variables) -> Any:
    """Expect the nodes and the connectors of the tenant, sorted by name."""
    names = sorted(ledger.COUNTS)
    return expect_nodes(variables) | {
        "connectors": [{"name": each, "provider": each.upper()} for each in names]
    }


def expect_aliases(ids: list[str]) -> Any:
    """Expect the node of each alias."""
    return {f"a{index}": ledger.build_node(each) for index, each in enumerate(ids)}


def expect_page(variables: Variables) -> Any:
    """Expect a page of the accounts that match the filter."""
    ids = ledger.filter_ids(variables.get("filter"))
    page = ledger.select_page(ids, variables.get("after"), 50)
    cursor = ledger.build_cursor(page[-1])
    info = {"hasNextPage": page[-1] != ids[-1], "endCursor": cursor}
    nodes = [ledger.build_node(each) for each in page]
    return {"bankAccounts": {"totalCount": len(ids), "pageInfo": info, "nodes": nodes}}


def simplify_thousand(data: Any) -> Any:
    """Reduce the long page to ids and figures."""
    nodes = [each["node"] for each in data["bankAccounts"]["edges"]]
    return [(each["id"], each["balance"]["ledger"]["minorUnits"]) for each in nodes]


def expect_thousand(_: Variables) -> Any:
    """Expect the ids and ledger balances of all accounts."""
    return [(each, str(accounts.get_figures(each).ledger)) for each in ledger.ALL_IDS]


def expect_totals(variables: Variables) -> Any:
    """Expect the totals of a filter, or of ids."""
    ids = variables.get("ids")
    condition = variables.get("filter") if ids is None else {"ids": ids}
    return {"balanceTotals": ledger.build_totals(ledger.filter_ids(condition))}


def expect_series(variables: Variables) -> Any:
    """Expect the series of an account; its provider has the same figures on every day."""
    account = variables["id"]
    points = []
    for day in ledger.list_days(variables["from"], variables["to"]):
        balance = ledger.build_balance(account, day)
        del balance["asOf"]
        points.append({"day": day, "balance": balance, "problem": None})
    return {"bankAccount": {"id": account, "balanceSeries": {"points": points}}}


def expect_history(variables: Variables) -> Any:
    """Expect the history of an account."""
    account = variables["id"]
    days = ledger.list_days(variables["from"], variables["to"])
    history = [ledger.build_balance(account, day) for day in days]
    return {"bankAccount": {"id": account, "balanceHistory": history}}


def simplify_connectors(data: Any) -> Any:
    """Reduce the connectors to their names."""
    return [each["name"] for each in data["connectors"]]


def simplify_introspection(data: Any) -> Any:
    """Reduce the schema to the names of its types and of the query's fields."""
    types = {each["name"]: each for each in data["__schema"]["types"]}
    fields = [each["name"] for each in types["Query"]["fields"]]
    return {"types": sorted(types), "query": sorted(fields)}

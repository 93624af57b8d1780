"""The query of the dashboard page, read from the page's own script, and its requests."""

import json
import re
from pathlib import Path
from typing import Any

import balance_gateway
from benchmarks import accounts
from benchmarks.targets import ledger

SCRIPT = Path(balance_gateway.__file__).parent / "web" / "static" / "dashboard.js"


def read_query() -> str:
    """Read the page's GraphQL document."""
    return _search(r"const QUERY = `([^`]+)`;")


def read_page_size() -> int:
    """Read how many accounts the page requests at once."""
    return int(_search(r"const PAGE = (\d+);"))


def _search(pattern: str) -> str:
    found = re.search(pattern, SCRIPT.read_text(encoding="utf-8"))
    if found is None:
        raise LookupError(f"{SCRIPT.name} has nothing like {pattern}; change the pattern")
    return found[1]


def list_bodies() -> list[bytes]:
    """List the requests of one refresh: one for each page of the 1,000 accounts, as of today.

    Only the first one asks for the totals and the connectors.
    """
    query, size = read_query(), read_page_size()
    cursors = [
        None,
        *(ledger.build_cursor(last) for last in ledger.ALL_IDS[size - 1 : -1 : size]),
    ]
    return [
        json.dumps(
            {
                "query": query,
                "variables": {
                    "asOf": None,
                    "after": after,
                    "first": size,
                    "summary": after is None,
                },
            },
            separators=(",", ":"),
        ).encode()
        for after in cursors
    ]


def simplify(data: Any) -> Any:
    """Reduce the data of one page to its accounts and their ledger balances, which never change."""
    page = data["bankAccounts"]
    rows = [[each["id"], each["balance"]["ledger"]["amount"]] for each in page["nodes"]]
    totals = len(data.get("balanceTotals", ()))
    return {"totalCount": page["totalCount"], "rows": rows, "totals": totals}


def expect(variables: dict[str, Any]) -> Any:
    """Return the expected result of ``simplify``."""
    ids = ledger.select_page(ledger.ALL_IDS, variables["after"], variables["first"])
    rows = [[each, ledger.format_amount(accounts.get_figures(each).ledger)] for each in ids]
    totals = int(variables["summary"])
    return {"totalCount": len(ledger.ALL_IDS), "rows": rows, "totals": totals}

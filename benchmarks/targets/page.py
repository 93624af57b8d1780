"""The queries of the dashboard page, read from the page's own modules, and its requests."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import balance_gateway
from benchmarks import accounts
from benchmarks.targets import ledger

MODULES = Path(balance_gateway.__file__).parent / "web" / "static" / "page"


def read_query(name: str = "ACCOUNTS") -> str:
    """Read one of the page's GraphQL documents."""
    return _search("queries.js", rf"export const {name} = `([^`]+)`;")


def read_page_size() -> int:
    """Read how many accounts the page requests at once."""
    return int(_search("board.js", r"const PAGE = (\d+);"))


def _search(module: str, pattern: str) -> str:
    found = re.search(pattern, (MODULES / module).read_text(encoding="utf-8"))
    if found is None:
        raise LookupError(f"{module} has nothing like {pattern}; change the pattern")
    return found[1]


def list_paths() -> list[str]:
    """List the GET requests of one refresh, as of today.

    One for each page of the accounts, those of the embedded ledger apart, and one for the totals
    and the connectors. The page reads opening balances each five minutes only.
    """
    size = read_page_size()
    ends = ledger.LIGHT_IDS[size - 1 : -1 : size]
    cursors = [None, *(ledger.build_cursor(last) for last in sorted(ends))]
    pages = [build_variables(None, ["LOCAL"])]
    pages += [build_variables(after, ["LIGHT"]) for after in cursors]
    return [
        *(_build_path(read_query(), variables) for variables in pages),
        _build_path(read_query("SUMMARY"), {"asOf": None}),
    ]


def build_variables(after: str | None, providers: list[str]) -> dict[str, Any]:
    """Build the variables of one page of accounts, as the page sends them."""
    aged = providers != ["LOCAL"]
    first = read_page_size()
    return {"asOf": None, "first": first, "after": after, "providers": providers, "aged": aged}


def _build_path(query: str, variables: dict[str, Any]) -> str:
    text = re.sub(r"\s+", " ", query)
    encoded = json.dumps(variables, separators=(",", ":"))
    return f"/graphql?{urlencode({'query': text, 'variables': encoded})}"


def simplify(data: Any) -> Any:
    """Reduce the data of one page to its accounts and their ledger balances, which never change."""
    page = data["bankAccounts"]
    rows = [[each["id"], each["balance"]["ledger"]["amount"]] for each in page["nodes"]]
    return {"totalCount": page["totalCount"], "rows": rows}


def expect(variables: dict[str, Any]) -> Any:
    """Return the expected result of ``simplify``."""
    ids = ledger.select_page(sorted(ledger.LIGHT_IDS), variables["after"], variables["first"])
    rows = [[each, ledger.format_amount(accounts.get_figures(each).ledger)] for each in ids]
    return {"totalCount": len(ledger.LIGHT_IDS), "rows": rows}

"""Build the charts of accounts: headings, revenue, expense and equity accounts."""

from typing import Final

from balance_gateway_sandbox.state.account_book import AccountBook
from balance_gateway_sandbox.state.company import Side, Tenant
from balance_gateway_sandbox.state.identifiers import derive_prefixed_id, derive_uuid
from balance_gateway_sandbox.state.records import AssetLedger, LedgerNode

_ASSET: Final[tuple[tuple[str, str, str, Side, str], ...]] = (
    ("Sales", "revenue", "operating_revenue", "credit", "4000"),
    ("Operating expenses", "expense", "operating_expense", "debit", "6000"),
    ("Opening balances", "equity", "opening_balance", "credit", "3000"),
    ("Retained earnings", "equity", "retained_earnings", "credit", "3100"),
)
_LAYER: Final[tuple[tuple[str, str, Side, str, str, str | None], ...]] = (
    ("Assets", "ASSETS", "debit", "ASSET", "HEADING", None),
    ("Bank accounts", "BANK_ACCOUNTS", "debit", "ASSET", "HEADING", "ASSETS"),
    ("Liabilities", "LIABILITIES", "credit", "LIABILITY", "HEADING", None),
    ("Credit cards", "CREDIT_CARDS", "credit", "LIABILITY", "HEADING", "LIABILITIES"),
    ("Equity", "EQUITY", "credit", "EQUITY", "HEADING", None),
    ("Opening balance equity", "OPENING_BALANCE", "credit", "EQUITY", "OPENING_BALANCE", "EQUITY"),
    ("Revenue", "REVENUE", "credit", "REVENUE", "HEADING", None),
    ("Sales", "SALES", "credit", "REVENUE", "OPERATING_REVENUE", "REVENUE"),
    ("Expenses", "EXPENSES", "debit", "EXPENSE", "HEADING", None),
    ("Operating expenses", "OPEX", "debit", "EXPENSE", "OPERATING_EXPENSE", "EXPENSES"),
)


def build_asset_chart(seed: int, tenant: Tenant) -> dict[str, AssetLedger]:
    """Build the ledgers of an Asset business other than bank accounts, by ledger id."""
    ledgers = {}
    for name, kind, subtype, side, sort_code in _ASSET:
        ledger_id = derive_prefixed_id("ldg", seed, tenant, "chart", name)
        book = AccountBook(ledger_id, name, "USD", side)
        ledgers[ledger_id] = AssetLedger(book, kind, subtype, sort_code)
    return ledgers


def build_layer_chart(seed: int, tenant: Tenant) -> dict[str, LedgerNode]:
    """Build the headings and the other ledger accounts of a Layer business, by id."""
    nodes = {}
    for name, stable_name, side, kind, subtype, parent in _LAYER:
        node_id = derive_uuid(seed, tenant, "chart", stable_name)
        nodes[node_id] = LedgerNode(
            node_id=node_id,
            name=name,
            stable_name=stable_name,
            normality=side,
            account_type=kind,
            account_subtype=subtype,
            parent_id=derive_uuid(seed, tenant, "chart", parent) if parent else None,
            book=None
            if subtype in ("HEADING", "OPENING_BALANCE")
            else AccountBook(node_id, name, "", side),
        )
    return nodes

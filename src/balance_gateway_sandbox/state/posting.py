"""Post entries with double entry at Asset and Layer.

Each entry is also posted, reversed, to an income or expense account.
"""

from dataclasses import replace
from typing import Final

from balance_gateway_sandbox.state.account_book import Entry
from balance_gateway_sandbox.state.records import AssetBusiness, LayerBusiness

INCOME: Final = "operating_revenue"
EXPENSE: Final = "operating_expense"


def post_asset(business: AssetBusiness, ledger_id: str, entry: Entry) -> None:
    """Post an entry to a ledger and its reverse to revenue (money in) or expense (money out)."""
    business.ledgers[ledger_id].book.entries.append(entry)
    subtype = INCOME if entry.amount > 0 else EXPENSE
    for ledger in business.ledgers.values():
        if ledger.subtype == subtype:
            ledger.book.entries.append(_reverse(entry))
            return


def post_layer(business: LayerBusiness, external_account_id: str, entry: Entry) -> None:
    """Post an entry to an external account's ledger and its reverse to revenue or expense."""
    business.accounts[external_account_id].book.entries.append(entry)
    subtype = (INCOME if entry.amount > 0 else EXPENSE).upper()
    for node in business.nodes.values():
        if node.account_subtype == subtype and node.book is not None:
            node.book.entries.append(_reverse(entry))
            return


def _reverse(entry: Entry) -> Entry:
    return replace(entry, amount=-entry.amount)

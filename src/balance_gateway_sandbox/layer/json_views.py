"""Convert Layer's records to JSON: external, custom and bank accounts and opening balances."""

from datetime import datetime
from typing import Any

from balance_gateway_sandbox.state.account_book import OpeningBalance, convert_side
from balance_gateway_sandbox.state.records import LayerAccount, LayerBusiness
from balance_gateway_sandbox.wire_format import format_instant


def business_to_json(business: LayerBusiness) -> dict[str, Any]:
    """Build a business as the list of businesses shows it."""
    return {
        "type": "Business",
        "id": business.business_id,
        "external_id": business.tenant,
        "legal_name": business.name,
        "entity_type": "C_CORP",
        "archived_at": None,
    }


def opening_balance_to_json(account: LayerAccount, opening: OpeningBalance) -> dict[str, Any]:
    """Build every documented field of `ApiOpeningBalance`."""
    return {
        "external_account_external_id": account.external_ref,
        "external_account_source": account.source,
        "balance": int(opening.amount),
        "effective_at": format_instant(opening.at),
        "created_at": format_instant(opening.created_at),
        "updated_at": format_instant(opening.updated_at),
        "transaction_tags": list(opening.tags),
        "memo": opening.memo,
        "metadata": opening.metadata,
        "reference_number": opening.reference_number,
    }


def external_account_to_json(account: LayerAccount, now: datetime) -> dict[str, Any]:
    """Build an external account without currency or type. Balances are cents as of `now`."""
    missing = {"type": "OPENING_BALANCE_MISSING", "scope": "USER"}
    return {
        "id": account.book.remote_id,
        "external_account_external_id": account.external_ref,
        "external_account_source": account.source,
        "external_account_name": account.book.name,
        "latest_balance_timestamp": _build_latest_balance(account, now),
        "current_ledger_balance": _compute_current_balance(account, now, bank=False),
        "uncategorized_transaction_sum": 0,
        "mask": account.mask,
        "institution": {"name": "Example Bank", "logo": None},
        "notifications": [] if account.book.opening is not None else [missing],
        "connection_needs_repair_as_of": None,
        "reconnect_with_new_credentials": False,
        "requires_user_confirmation_as_of": None,
        "connection_id": None,
        "connection_external_id": None,
        "user_created": account.source == "CUSTOM",
        "is_syncing": False,
        "ledger_account_id": account.ledger_account_id,
        "archived_at": None,
        "show_transactions_on_or_after": None,
        "show_transactions_on_or_before": None,
        **account.feed_changes,
    }


def custom_account_to_json(account: LayerAccount) -> dict[str, Any]:
    """Build a custom account. Its `external_id` equals the external account's."""
    owed = account.book.normal_side == "credit"
    return {
        "id": account.custom_account_id,
        "external_id": account.external_ref,
        "mask": account.mask,
        "account_name": account.book.name,
        "institution_name": "Example Bank",
        "account_type": "CREDIT" if owed else "DEPOSITORY",
        "account_subtype": "CREDIT_CARD" if owed else "CHECKING",
        "created_at": format_instant(account.created_at),
        "updated_at": format_instant(account.created_at),
        "archived_at": None,
        "ledger_account_id": account.ledger_account_id,
    }


def bank_account_to_json(account: LayerAccount, now: datetime) -> dict[str, Any]:
    """Build a bank account as Layer's own client reads it: a list with one external account."""
    external = external_account_to_json(account, now)
    return {
        "id": account.bank_account_id,
        "account_name": account.book.name,
        "institution": external["institution"],
        "external_accounts": [external],
        "latest_balance_timestamp": external["latest_balance_timestamp"],
        "current_ledger_balance": external["current_ledger_balance"],
        "mask": account.mask,
        "notifications": external["notifications"],
        "is_disconnected": False,
    }


def _build_latest_balance(account: LayerAccount, now: datetime) -> dict[str, Any]:
    """Build the stated balance if one exists, otherwise the bank's balance as of `now`."""
    stated = account.stated
    balance = (
        stated.amount if stated is not None else _compute_current_balance(account, now, bank=True)
    )
    return {
        "external_account_external_id": account.external_ref,
        "external_account_source": account.source,
        "balance": balance,
        "at": format_instant(stated.at if stated is not None else now),
        "created_at": format_instant(stated.created_at if stated is not None else now),
    }


def _compute_current_balance(account: LayerAccount, now: datetime, *, bank: bool) -> int:
    book = account.book
    moved = book.sum_entries(lambda e: (e.on_bank if bank else e.on_books) and e.at <= now)
    return int(convert_side(book.compute_opening_debit() + moved, book.normal_side))

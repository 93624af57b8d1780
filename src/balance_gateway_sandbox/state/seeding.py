"""Build the seeded records: opening balances and a year of entries."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from balance_gateway_sandbox.state.account_book import (
    BOTH_BASES,
    AccountBook,
    Basis,
    Entry,
    OpeningBalance,
)
from balance_gateway_sandbox.state.catalogue import (
    TENANTS,
    Account,
    build_catalogue,
    choose_layer_source,
    derive_business_id,
)
from balance_gateway_sandbox.state.chart_of_accounts import build_asset_chart, build_layer_chart
from balance_gateway_sandbox.state.company import AccountPlan, Tenant, list_account_plans
from balance_gateway_sandbox.state.identifiers import derive_number, derive_prefixed_id, derive_uuid
from balance_gateway_sandbox.state.posting import post_asset, post_layer
from balance_gateway_sandbox.state.record_copies import copy_records
from balance_gateway_sandbox.state.records import (
    AssetBusiness,
    AssetExternalAccount,
    AssetLedger,
    LayerAccount,
    LayerBusiness,
    LedgerNode,
    LightAccount,
    ProviderRecords,
)

OPENED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The opening date of every seeded account and the `entries_start` of every Asset business."""

_EARLY_DAYS: Final = (-14, -3)
_LATER_DAYS: Final = tuple(range(4, 365, 11))
_BASES: Final[tuple[frozenset[Basis], ...]] = (frozenset({"accrual"}), frozenset({"cash"}))


def build_seeded_records(seed: int) -> ProviderRecords:
    """Build the records of a fresh sandbox. They are equal on every call with the same seed."""
    return copy_records(_build_records(seed))


# A copy costs less than a tenth of the building, which makes a reset cheap.
@lru_cache(maxsize=4)
def _build_records(seed: int) -> ProviderRecords:
    records = ProviderRecords()
    known = build_catalogue(seed)
    for tenant in TENANTS:
        _fill_light(records, seed, tenant, known.list_accounts("light", tenant))
        _fill_asset(records, seed, tenant, known.list_accounts("asset", tenant))
        _fill_layer(records, seed, tenant, known.list_accounts("layer", tenant))
    return records


def _fill_light(
    records: ProviderRecords, seed: int, tenant: Tenant, accounts: tuple[Account, ...]
) -> None:
    for number, (plan, account) in enumerate(
        zip(list_account_plans(seed, "light", tenant), accounts, strict=True)
    ):
        book = _build_book(seed, account, plan, Decimal(1))
        early = plan.early_history
        book.entries.extend(_build_entries(seed, book.remote_id, Decimal(1), early_history=early))
        if book.opening is not None:
            # The ledger contains the opening balance too, so that both differ only by entries.
            entry_id = derive_uuid(book.remote_id, "opening line")
            amount = book.opening.amount
            book.entries.append(Entry(entry_id, OPENED_AT, amount, "Opening", on_bank=False))
        records.light[book.remote_id] = LightAccount(
            book=book,
            tenant=tenant,
            ledger_account_code=110_000 + number,
            company_id=derive_uuid(seed, "light company", tenant),
            company_entity_id=derive_uuid(seed, "light entity", tenant),
            created_at=OPENED_AT - timedelta(days=30),
        )


def _fill_asset(
    records: ProviderRecords, seed: int, tenant: Tenant, accounts: tuple[Account, ...]
) -> None:
    business_id = derive_business_id(seed, "asset", tenant)
    business = AssetBusiness(business_id, tenant, f"{tenant.title()} Inc.", OPENED_AT)
    business.ledgers.update(build_asset_chart(seed, tenant))
    records.asset[business_id] = business
    for number, (plan, account) in enumerate(
        zip(list_account_plans(seed, "asset", tenant), accounts, strict=True)
    ):
        book = _build_book(seed, account, plan, Decimal("0.01"))
        owed = plan.side == "credit"
        business.ledgers[book.remote_id] = AssetLedger(
            book=book,
            type="liability" if owed else "asset",
            subtype="current_liability" if owed else "current_asset",
            sort_code=str(1000 + number + 1000 * owed),
            financial_account_type="credit_card" if owed else "bank_account",
        )
        assert account.external_account_id is not None
        business.external_accounts[account.external_account_id] = AssetExternalAccount(
            external_account_id=account.external_account_id,
            ledger_id=book.remote_id,
            name=plan.name,
            mask=f"{derive_number(book.remote_id) % 10_000:04}",
            source="manual" if number % 2 else "plaid",
            status="connected",
            reports_balance=number % 5 != 4,
        )
        early = plan.early_history
        cents = Decimal("0.01")
        for entry in _build_entries(seed, book.remote_id, cents, early_history=early, prefix="je"):
            post_asset(business, book.remote_id, entry)


def _fill_layer(
    records: ProviderRecords, seed: int, tenant: Tenant, accounts: tuple[Account, ...]
) -> None:
    business_id = derive_business_id(seed, "layer", tenant)
    closing_at = datetime(2025, 7, 1, tzinfo=UTC) if tenant == "globex" else None
    business = LayerBusiness(business_id, tenant, f"{tenant.title()} Ltd", closing_at)
    business.nodes.update(build_layer_chart(seed, tenant))
    headings = {node.stable_name: node.node_id for node in business.nodes.values()}
    records.layer[business_id] = business
    for number, (plan, account) in enumerate(
        zip(list_account_plans(seed, "layer", tenant), accounts, strict=True)
    ):
        book = _build_book(seed, account, plan, Decimal(1))
        owed = plan.side == "credit"
        assert account.ledger_account_id is not None
        assert account.bank_account_id is not None
        business.nodes[account.ledger_account_id] = LedgerNode(
            node_id=account.ledger_account_id,
            name=plan.name,
            stable_name=plan.name.upper().replace(" ", "_"),
            normality=plan.side,
            account_type="LIABILITY" if owed else "ASSET",
            account_subtype="CREDIT_CARD" if owed else "BANK_ACCOUNTS",
            parent_id=headings["CREDIT_CARDS" if owed else "BANK_ACCOUNTS"],
            book=book,
        )
        business.accounts[book.remote_id] = LayerAccount(
            book=book,
            bank_account_id=account.bank_account_id,
            custom_account_id=account.custom_account_id,
            ledger_account_id=account.ledger_account_id,
            external_ref=f"ext-{derive_number(book.remote_id) % 10**12:012}",
            source=choose_layer_source(number),
            mask=f"{derive_number(book.remote_id) % 10_000:04}",
            created_at=OPENED_AT - timedelta(days=30),
        )
        early = plan.early_history
        for entry in _build_entries(seed, book.remote_id, Decimal(1), early_history=early):
            post_layer(business, book.remote_id, entry)


def _build_book(seed: int, account: Account, plan: AccountPlan, unit: Decimal) -> AccountBook:
    book = AccountBook(account.remote_id, plan.name, plan.currency, plan.side)
    if plan.opening_minor is not None:
        created_at = OPENED_AT + timedelta(hours=9)
        book.opening = OpeningBalance(
            opening_id=derive_uuid(seed, "opening", account.remote_id),
            amount=plan.opening_minor * unit,
            at=OPENED_AT,
            created_at=created_at,
            updated_at=created_at,
        )
    return book


def _build_entries(
    seed: int, remote_id: str, unit: Decimal, *, early_history: bool, prefix: str | None = None
) -> tuple[Entry, ...]:
    """Build one entry every eleven days, some only on the bank's or only on the ledger's side."""
    entries = []
    for number, day in enumerate((*(_EARLY_DAYS if early_history else ()), *_LATER_DAYS)):
        chance = derive_number(seed, remote_id, number)
        label = (seed, remote_id, "entry", number)
        amount = (chance % 250_000 + 1) * unit * (-1 if chance % 5 < 2 else 1)
        entries.append(
            Entry(
                entry_id=derive_prefixed_id(prefix, *label) if prefix else derive_uuid(*label),
                at=OPENED_AT + timedelta(days=day, hours=chance % 24, minutes=30),
                amount=amount,
                memo="Customer payment" if amount > 0 else "Supplier payment",
                on_bank=number % 9 != 4,
                on_books=number % 7 != 5,
                bases=_BASES[number % 2] if number % 6 == 3 else BOTH_BASES,
            )
        )
    return tuple(entries)

"""Copy the provider records, so that a change of the copy leaves the original as it is."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from balance_gateway_sandbox.state.account_book import AccountBook
from balance_gateway_sandbox.state.records import AssetBusiness, LayerBusiness, ProviderRecords

_Record = TypeVar("_Record")


def copy_records(records: ProviderRecords) -> ProviderRecords:
    """Copy the records; only what is immutable is shared with the original."""
    copied = _copy(records)
    copied.light = _copy_values(records.light)
    for light in copied.light.values():
        light.book = _copy_book(light.book)
    copied.asset = _copy_values(records.asset)
    for asset in copied.asset.values():
        _copy_parts_of_asset(asset)
    copied.layer = _copy_values(records.layer)
    for layer in copied.layer.values():
        _copy_parts_of_layer(layer)
    return copied


def _copy_parts_of_asset(business: AssetBusiness) -> None:
    business.ledgers = _copy_values(business.ledgers)
    for ledger in business.ledgers.values():
        ledger.book = _copy_book(ledger.book)
    business.external_accounts = _copy_values(business.external_accounts)
    for account in business.external_accounts.values():
        account.feed_changes = dict(account.feed_changes)


def _copy_parts_of_layer(business: LayerBusiness) -> None:
    # The ledger of an external account has one book, which the account and its node share.
    books = {node.book.remote_id: _copy_book(node.book) for node in business.nodes.values()
             if node.book is not None}  # fmt: skip
    business.nodes = _copy_values(business.nodes)
    for node in business.nodes.values():
        node.book = None if node.book is None else books[node.book.remote_id]
    business.accounts = _copy_values(business.accounts)
    for account in business.accounts.values():
        account.book = books[account.book.remote_id]
        account.feed_changes = dict(account.feed_changes)


def _copy_book(book: AccountBook) -> AccountBook:
    copied = _copy(book)
    copied.entries = list(book.entries)
    return copied


def _copy_values(records: dict[str, _Record]) -> dict[str, _Record]:
    return {key: _copy(record) for key, record in records.items()}


def _copy(record: _Record) -> _Record:
    # `dataclasses.replace` takes several times as long.
    kind: Any = type(record)
    copied: _Record = kind(*_build_getter(kind)(record))
    return copied


@cache
def _build_getter(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(each.name for each in fields(kind)))

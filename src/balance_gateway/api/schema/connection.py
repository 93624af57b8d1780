"""Builds pages of accounts as a Relay connection: forward only, sorted by id, stable cursors."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import strawberry

from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, list_size
from balance_gateway.domain.accounts import ACCOUNT_ID, Account
from balance_gateway.domain.errors import BadInput

#: A cursor contains an account id, not a position, so that it stays valid when accounts are added
#: or removed: the next page starts with the next existing id.
_CURSOR_PREFIX = b"a1:"

_CURSORS_MAX = 20_000


@strawberry.type(description="The position of a page in the whole list.")
class PageInfo:
    """The position of a page."""

    has_next_page: bool = strawberry.field(description="Whether there are accounts after the page.")
    has_previous_page: bool = strawberry.field(
        description="Whether there are accounts before the page."
    )
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first account; null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last account, to send as after; null if the page is empty."
    )


@strawberry.type(description="An account on a page.")
class BankAccountEdge:
    """An account on a page."""

    cursor: str = strawberry.field(description="The cursor of the account, to send as after.")
    node: BankAccount | None = strawberry.field(
        description="The account; null with an error if a required field failed."
    )


@strawberry.type(description="A page of accounts, sorted by id.")
class BankAccountConnection:
    """A page of accounts."""

    edges: list[BankAccountEdge] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="The accounts with their cursors."
    )
    nodes: list[BankAccount | None] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT),
        description="The accounts; each is null with an error if a required field failed.",
    )
    page_info: PageInfo = strawberry.field(description="The position of the page.")
    total_count: int = strawberry.field(
        description="The number of accounts that match the filter, on all pages."
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of accounts.

    Attributes:
        start: the position of its first account in the whole list.
        accounts: the accounts of the page, sorted by id.
        has_next: whether there are accounts after it.
        has_previous: whether there are accounts before it.
        total: the number of accounts on all pages.
    """

    start: int
    accounts: Sequence[Account]
    has_next: bool
    has_previous: bool
    total: int


def find_page(accounts: Sequence[Account], first: int, after: str | None) -> Page:
    """Find the page of at most ``first`` accounts after a cursor.

    Args:
        accounts: the accounts that match the filter, sorted by id.
        first: the page size.
        after: the cursor before the page; None for the first page.

    Raises:
        BadInput: ``after`` is not a cursor of this gateway.
    """
    start = 0
    if after is not None:
        start = bisect_right(accounts, decode_cursor(after), key=attrgetter("id"))
    page = accounts[start : start + first]
    return Page(
        start=start,
        accounts=page,
        has_next=start + len(page) < len(accounts),
        has_previous=start > 0,
        total=len(accounts),
    )


def build_connection(
    accounts: Sequence[Account], first: int, after: str | None
) -> BankAccountConnection:
    """Build the page of at most ``first`` accounts after a cursor.

    Args:
        accounts: the accounts that match the filter, sorted by id.
        first: the page size.
        after: the cursor before the page; None for the first page.

    Raises:
        BadInput: ``after`` is not a cursor of this gateway.
    """
    page = find_page(accounts, first, after)
    nodes = [build_bank_account(account) for account in page.accounts]
    edges = [BankAccountEdge(cursor=encode_cursor(node.id), node=node) for node in nodes]
    return BankAccountConnection(
        edges=edges,
        nodes=[*nodes],
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=page.total,
    )


@lru_cache(maxsize=_CURSORS_MAX)
def encode_cursor(account_id: str) -> str:
    """Build the opaque cursor of an account."""
    return base64.urlsafe_b64encode(_CURSOR_PREFIX + account_id.encode()).decode().rstrip("=")


# An error is not kept, and a cursor is as short as an account id: the memory is bounded.
@lru_cache(maxsize=_CURSORS_MAX)
def decode_cursor(cursor: str) -> str:
    """Return the account id in a cursor.

    Raises:
        BadInput: the text is not a result of ``encode_cursor``.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        account_id = raw.removeprefix(_CURSOR_PREFIX).decode("ascii")
    except (UnicodeError, binascii.Error, ValueError):
        account_id = ""
    # base64 accepts several spellings of the same bytes; a cursor has one.
    if ACCOUNT_ID.fullmatch(account_id) is None or encode_cursor(account_id) != cursor:
        message = "after must be a cursor: send pageInfo.endCursor or an edge's cursor unchanged."
        raise BadInput(message, field="after")
    return account_id

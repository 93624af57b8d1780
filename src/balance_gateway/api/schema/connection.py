"""Builds pages of accounts as a Relay connection, with stable cursors."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import orjson
import strawberry

from balance_gateway.api.schema import pages
from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, list_size
from balance_gateway.domain.accounts import ACCOUNT_ID, Account
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.account_order import AccountOrder

#: A cursor contains an account id, not a position, so that it stays valid when accounts are added
#: or removed: the next page starts with the next existing id.
_CURSOR_PREFIX = b"a1:"
#: In another order it contains the order, the account's key and its id.
_ORDERED_PREFIX = b"a2:"

_CURSORS_MAX = 20_000


@strawberry.type(description="An account on a page.")
class BankAccountEdge:
    """An account on a page."""

    cursor: str = strawberry.field(
        description="The cursor of the account, to send as after or before."
    )
    node: BankAccount | None = strawberry.field(
        description="The account; null with an error if a required field failed."
    )


@strawberry.type(description="A page of accounts.")
class BankAccountConnection:
    """A page of accounts."""

    edges: list[BankAccountEdge] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="The accounts with their cursors."
    )
    nodes: list[BankAccount | None] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT),
        description="The accounts; each is null with an error if a required field failed.",
    )
    page_info: pages.PageInfo = strawberry.field(description="The position of the page.")
    total_count: int = strawberry.field(
        description="The number of accounts that match the filter, on all pages."
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of accounts.

    Attributes:
        start: the position of its first account in the whole list.
        accounts: the accounts of the page, in order.
        has_next: whether there are accounts after it.
        has_previous: whether there are accounts before it.
        total: the number of accounts on all pages.
    """

    start: int
    accounts: Sequence[Account]
    has_next: bool
    has_previous: bool
    total: int


class Window(NamedTuple):
    """The part of a list that is asked for.

    Attributes:
        first: the maximum size, from the start; None if ``last`` is given.
        after: the cursor before it; None for the start of the list.
        last: the maximum size, from the end; None if ``first`` is given.
        before: the cursor after it; None for the end of the list.
    """

    first: int | None
    after: str | None = None
    last: int | None = None
    before: str | None = None


def find_page(
    accounts: Sequence[Account], window: Window, order: AccountOrder = AccountOrder.ID
) -> Page:
    """Find a page of accounts.

    Args:
        accounts: the accounts that match the filter, in the order.
        window: the part that is asked for.
        order: the order.

    Raises:
        BadInput: a cursor is not one of this gateway, or of another order.
    """
    first, after, last, before = window
    start, end = 0, len(accounts)
    if after is not None:
        start = _find_position(accounts, after, order, "after")
    if before is not None:
        end = max(start, _find_position(accounts, before, order, "before"))
    if first is not None:
        end = min(end, start + first)
    elif last is not None:
        start = max(start, end - last)
    return Page(
        start=start,
        accounts=accounts[start:end],
        has_next=end < len(accounts),
        has_previous=start > 0,
        total=len(accounts),
    )


def _find_position(
    accounts: Sequence[Account], cursor: str, order: AccountOrder, argument: str
) -> int:
    """Return the number of accounts before a cursor; for ``after``, with the cursor's own."""
    includes_own = argument == "after"
    if order is AccountOrder.ID:
        bisect = bisect_right if includes_own else bisect_left
        return bisect(accounts, decode_cursor(cursor, argument), key=attrgetter("id"))
    key, account_id = _decode_ordered_cursor(cursor, order, argument)

    def is_outside(account: Account) -> bool:
        is_later = order.is_later(account, key, account_id)
        is_own = (order.get_key(account), account.id) == (key, account_id)
        return is_later or (is_own and not includes_own)

    return bisect_left(accounts, True, key=is_outside)


def build_connection(
    accounts: Sequence[Account], window: Window, order: AccountOrder = AccountOrder.ID
) -> BankAccountConnection:
    """Build a page of accounts; see ``find_page``."""
    page = find_page(accounts, window, order)
    nodes = [build_bank_account(account) for account in page.accounts]
    cursors = [encode_order_cursor(account, order) for account in page.accounts]
    return BankAccountConnection(
        edges=[
            BankAccountEdge(cursor=cursor, node=node)
            for cursor, node in zip(cursors, nodes, strict=True)
        ],
        nodes=[*nodes],
        page_info=pages.build_page_info(
            cursors, has_next=page.has_next, has_previous=page.has_previous
        ),
        total_count=page.total,
    )


def encode_order_cursor(account: Account, order: AccountOrder) -> str:
    """Build the opaque cursor of an account in an order."""
    if order is AccountOrder.ID:
        return encode_cursor(account.id)
    return _encode_parts(order.name, order.get_key(account), account.id)


@lru_cache(maxsize=_CURSORS_MAX)
def encode_cursor(account_id: str) -> str:
    """Build the opaque cursor of an account in the order of ids."""
    return pages.encode_cursor(_CURSOR_PREFIX + account_id.encode())


def _encode_parts(order: str, key: str, account_id: str) -> str:
    return pages.encode_cursor(_ORDERED_PREFIX + orjson.dumps([order, key, account_id]))


# An error is not kept, and a cursor is as short as an account id: the memory is bounded.
@lru_cache(maxsize=_CURSORS_MAX)
def decode_cursor(cursor: str, argument: str = "after") -> str:
    """Return the account id in a cursor in the order of ids.

    Args:
        cursor: the cursor.
        argument: named in the error.

    Raises:
        BadInput: the text is not a result of ``encode_cursor``.
    """
    content = pages.decode_cursor(cursor)
    account_id = content.removeprefix(_CURSOR_PREFIX).decode("ascii", "replace")
    # base64 accepts several spellings of the same bytes; a cursor has one.
    if ACCOUNT_ID.fullmatch(account_id) is None or encode_cursor(account_id) != cursor:
        raise _build_cursor_error(argument)
    return account_id


def _decode_ordered_cursor(cursor: str, order: AccountOrder, argument: str) -> tuple[str, str]:
    """Return the key and the account id in a cursor."""
    content = pages.decode_cursor(cursor)
    try:
        name, key, account_id = orjson.loads(content.removeprefix(_ORDERED_PREFIX))
        is_known = name == order.name and _encode_parts(name, key, account_id) == cursor
    except (ValueError, TypeError):
        is_known = False
    if not is_known or not isinstance(key, str) or not isinstance(account_id, str):
        raise _build_cursor_error(argument)
    return key, account_id


def _build_cursor_error(argument: str) -> BadInput:
    edge = "endCursor" if argument == "after" else "startCursor"
    message = (
        f"{argument} must be a cursor of the same orderBy: send pageInfo.{edge} or an edge's "
        "cursor unchanged."
    )
    return BadInput(message, field=argument)

"""Pages of accounts as a Relay connection: forward only, in the order of ids, stable cursors.

A cursor names the account it points at, so that it stays good when accounts come and go: the page
after it begins with the next id there is, whether or not the account itself still exists.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence

import strawberry

from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.domain.accounts import ACCOUNT_ID, Account
from balance_gateway.domain.errors import BadInput

_CURSOR_PREFIX = b"a1:"


@strawberry.type(description="Where a page stands in the whole list.")
class PageInfo:
    """Where a page stands in the whole list."""

    has_next_page: bool = strawberry.field(description="Whether there are accounts after it.")
    has_previous_page: bool = strawberry.field(description="Whether there are accounts before it.")
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first account; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last account, to be sent as after; null on an empty page."
    )


@strawberry.type(description="An account on a page.")
class BankAccountEdge:
    """An account on a page."""

    cursor: str = strawberry.field(description="Points at the account; to be sent as after.")
    node: BankAccount | None = strawberry.field(
        description="The account; null with an error when one of its required fields failed."
    )


@strawberry.type(description="A page of accounts, in the order of their ids.")
class BankAccountConnection:
    """A page of accounts."""

    edges: list[BankAccountEdge] = strawberry.field(description="The accounts with their cursors.")
    nodes: list[BankAccount | None] = strawberry.field(
        description="The accounts; null with an error for one whose required field failed."
    )
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int = strawberry.field(
        description="How many accounts the filter takes, on all pages."
    )


def build_connection(
    accounts: Sequence[Account], first: int, after: str | None
) -> BankAccountConnection:
    """The page of at most ``first`` accounts after a cursor; accounts are sorted by id.

    Raises:
        BadInput: the cursor is not one of ours.
    """
    start = 0
    if after is not None:
        start = bisect_right(accounts, decode_cursor(after), key=lambda account: account.id)
    page = accounts[start : start + first]
    nodes = [build_bank_account(account) for account in page]
    edges = [BankAccountEdge(cursor=encode_cursor(node.id), node=node) for node in nodes]
    return BankAccountConnection(
        edges=edges,
        nodes=[*nodes],
        page_info=PageInfo(
            has_next_page=start + len(page) < len(accounts),
            has_previous_page=start > 0,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=len(accounts),
    )


def encode_cursor(account_id: str) -> str:
    """The opaque cursor that points at an account."""
    return base64.urlsafe_b64encode(_CURSOR_PREFIX + account_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id of the account that a cursor points at.

    Raises:
        BadInput: the text is not a cursor that ``encode_cursor`` makes.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        account_id = raw.removeprefix(_CURSOR_PREFIX).decode("ascii")
    except (UnicodeError, binascii.Error, ValueError):
        account_id = ""
    if ACCOUNT_ID.fullmatch(account_id) is None or encode_cursor(account_id) != cursor:
        message = "after is not a cursor: send back pageInfo.endCursor or an edge's cursor as is."
        raise BadInput(message, field="after")
    return account_id

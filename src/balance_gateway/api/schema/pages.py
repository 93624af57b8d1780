"""The parts that every list in pages shares: its size, its cursors and the position of a page."""

import base64
import binascii
from collections.abc import Sequence

import strawberry

from balance_gateway.domain.errors import BadInput

#: Of a name with 200 characters of four bytes each, which JSON and base64 make longer.
_CURSOR_CHARACTERS_MAX = 4_000


@strawberry.type(description="The position of a page in the whole list.")
class PageInfo:
    """The position of a page."""

    has_next_page: bool = strawberry.field(description="Whether there are items after the page.")
    has_previous_page: bool = strawberry.field(
        description="Whether there are items before the page."
    )
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first item; null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last item, to send as after; null if the page is empty."
    )


def build_page_info(cursors: Sequence[str], *, has_next: bool, has_previous: bool) -> PageInfo:
    """Build the position of a page from the cursors of its items."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def require_page_size(size: int, size_max: int, argument: str = "first") -> int:
    """Return the requested size of a page.

    Args:
        size: the requested size.
        size_max: the largest one.
        argument: named in the error.

    Raises:
        BadInput: it is negative or too large.
    """
    if not 0 <= size <= size_max:
        raise BadInput(f"{argument} must be in the range 0 to {size_max}.", field=argument)
    return size


def encode_cursor(content: bytes) -> str:
    """Build an opaque cursor."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_cursor(cursor: str) -> bytes:
    """Return the content of a cursor; empty if the text cannot be one.

    Base64 has several spellings of the same bytes, and a number several texts: whoever decodes
    must encode what was found again, and compare.
    """
    if len(cursor) > _CURSOR_CHARACTERS_MAX:
        return b""
    try:
        return base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeError, binascii.Error, ValueError):
        return b""


def encode_number_cursor(prefix: bytes, number: int) -> str:
    """Build the opaque cursor of an item with a number."""
    return encode_cursor(prefix + b"%d" % number)


def decode_number_cursor(prefix: bytes, cursor: str) -> int:
    """Return the number in a cursor that was sent as ``after``.

    Raises:
        BadInput: the text is not a result of ``encode_number_cursor``.
    """
    try:
        number = int(decode_cursor(cursor).removeprefix(prefix))
    except ValueError:
        number = 2**63
    if abs(number) >= 2**63 or encode_number_cursor(prefix, number) != cursor:
        raise build_after_error()
    return number


def build_after_error() -> BadInput:
    """Build the error of an ``after`` that is not a cursor of the list."""
    message = "after must be a cursor: send pageInfo.endCursor or an edge's cursor unchanged."
    return BadInput(message, field="after")

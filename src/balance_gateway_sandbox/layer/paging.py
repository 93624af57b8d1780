"""Cut Layer's lists into pages.

Source: docs.layerfi.com, Pagination: `cursor` and `limit` (default 100); `meta.pagination` has
`cursor` and `has_more`. Undocumented: where a bare list has its pagination; here a list of more
than one page is always wrapped in `{"data", "meta"}`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

_CURSOR: Final = re.compile(r"cur_([0-9]{1,9})", re.ASCII)
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class InvalidPageError(ValueError):
    """The cursor or the limit is malformed."""


def cut_page(
    rows: list[dict[str, Any]], query: Mapping[str, str], size_max: int
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the rows of the page, and its pagination; None for a list of one page.

    Raises:
        InvalidPageError: `cursor` or `limit` is malformed.
    """
    cursor = _CURSOR.fullmatch(query.get("cursor", "cur_0"))
    limit = _LIMIT.fullmatch(query.get("limit", str(size_max)))
    if cursor is None or limit is None:
        raise InvalidPageError
    start, size = int(cursor[1]), min(int(limit[0]), size_max)
    end = start + size
    if start == 0 and end >= len(rows):
        return rows, None
    pagination = {
        "sort_by": "id",
        "sort_order": "ASC",
        "cursor": f"cur_{end}" if end < len(rows) else None,
        "has_more": end < len(rows),
    }
    return rows[start:end], pagination

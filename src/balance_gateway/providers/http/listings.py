"""Read a provider's lists page by page, and the fields that every listed account has."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.provider_spec import PATH_SEGMENT
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.errors import ProviderResponse, build_bad_response

#: Maximum number of pages of one list.
PAGES_MAX = 200

#: Maximum length of a listed name.
NAME_LENGTH_MAX = 200

#: Counts entries that cannot be configured, by the reason.
Skipped = Counter[str]

UNREADABLE = "without a usable id"

_ID = re.compile(PATH_SEGMENT, re.ASCII)


class Page(NamedTuple):
    """One page of a list.

    Attributes:
        response: the response, for errors.
        rows: the entries.
        cursor: continues the list; None on the last page.
    """

    response: ProviderResponse
    rows: list[Any]
    cursor: str | None


async def read_pages(
    run: RunCall, read_page: Callable[[str | None], Awaitable[Page]]
) -> list[dict[str, Any]]:
    """Return the entries of all pages; an entry that is no object is returned as an empty one.

    Args:
        run: Makes each call.
        read_page: Reads the page of a cursor; None for the first page.

    Raises:
        ProviderBadResponse: The list does not end: a cursor is repeated, or there are more than
            ``PAGES_MAX`` pages.
    """
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(PAGES_MAX):
        page = await run(partial(read_page, cursor))
        rows += [row if isinstance(row, dict) else {} for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return rows
        if cursor in seen:
            raise build_bad_response(page.response.operation, "it repeats a page")
        seen.add(cursor)
    raise build_bad_response(page.response.operation, f"it has more than {PAGES_MAX} pages")


def find_id(row: dict[str, Any], key: str) -> str | None:
    """Return an id that can be configured; None if it is missing or malformed."""
    value = row.get(key)
    if isinstance(value, dict):
        # Layer's newer form, {"type": "AccountId", "id": …}.
        value = value.get("id")
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def read_name(row: dict[str, Any], *keys: str) -> str:
    """Return the first name that is not blank, on one line; empty without any."""
    for key in keys:
        try:
            text = json_fields.parse_optional_text(row, key) or ""
        except json_fields.MalformedResponse:
            continue
        shown = "".join(one if one.isprintable() else " " for one in text)
        if name := " ".join(shown.split())[:NAME_LENGTH_MAX].strip():
            return name
    return ""


def read_word(row: dict[str, Any], key: str) -> str:
    """Return a provider's word for a kind or a state in lower case; empty for none."""
    return read_name(row, key).lower()


def require_businesses(businesses: Sequence[str]) -> None:
    """Check the form of ids of businesses before they become a part of a path.

    Raises:
        BadInput: An id is malformed.
    """
    for business_id in businesses:
        if not _ID.fullmatch(business_id):
            message = (
                "The id of a business must be letters, digits, underscores and hyphens, not"
                f" {business_id[:40]!r}."
            )
            raise BadInput(message, field="business")


def refuse_businesses(businesses: Sequence[str], provider_name: str) -> None:
    """Refuse ids of businesses, for a provider without any.

    Raises:
        BadInput: There is an id.
    """
    if businesses:
        raise BadInput(f"{provider_name} has no businesses: name none.", field="business")

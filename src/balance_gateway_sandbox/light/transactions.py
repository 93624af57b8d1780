"""Build Light's bank-transactions list with sorting, filters and pages.

Source: docs.light.inc, v1 - Bank Transactions. "limit default 50, max 200", `offset` deprecated,
`cursor` "start with 0". Undocumented: `balance` in the response, here the bank balance over all
transactions (0 without an opening balance); how several filters are combined, here by commas or
by repeating the parameter, and all must match.
"""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from starlette.datastructures import QueryParams

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.account_book import AccountBook, Entry
from balance_gateway_sandbox.wire_format import NUMBER_DIGITS_MAX, format_instant, parse_day

_COMPARE: Final[dict[str, Callable[[str, str], bool]]] = {
    "eq": eq,
    "ne": ne,
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "in": lambda value, wanted: value in wanted.split("|"),
    "not_in": lambda value, wanted: value not in wanted.split("|"),
}
_FIELDS: Final = ("reconciliationStatus", "dcSign", "date")


def build_page(book: AccountBook, query: QueryParams, options: Options) -> dict[str, Any]:
    """Build the page of `book`'s bank transactions that the query selects.

    Raises:
        ProviderError: 400 for an invalid sort, filter, limit, offset or cursor.
    """
    records = [_entry_to_json(book, entry) for entry in book.entries if entry.on_bank]
    for text in (part for parameter in query.getlist("filter") for part in parameter.split(",")):
        keep = _parse_filter(text)
        records = [record for record in records if keep(record)]
    order = query.get("sort", "date:desc")
    if order not in ("date:asc", "date:desc"):
        raise provider_errors.light_error(400, "sort: expected date:asc or date:desc", ["sort"])
    # Sort by id within a day, so that pages do not overlap.
    records.sort(key=lambda record: (record["date"], record["id"]), reverse=order == "date:desc")

    limit = _parse_number(query, "limit", 50, 200)
    start = _parse_number(query, "cursor" if "cursor" in query else "offset", 0, 10**9)
    total = book.sum_entries(lambda entry: entry.on_bank)
    page: dict[str, Any] = {
        "total": len(records),
        "records": records[start : start + limit],
        "balance": int(total + book.opening.amount) if book.opening is not None else 0,
    }
    if options.light_transaction_cursors:
        more = start + limit < len(records)
        page |= {"hasMore": more, "nextCursor": str(start + limit) if more else None}
    return page


def _entry_to_json(book: AccountBook, entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.entry_id,
        "bankAccountId": book.remote_id,
        "date": entry.at.date().isoformat(),
        "amount": int(abs(entry.amount)),
        "dcSign": "C" if entry.amount >= 0 else "D",
        "reconciliationStatus": "MATCHED" if entry.on_books else "UNMATCHED",
        "name": entry.memo,
        "memo": None,
        "reference": None,
        "transactionId": entry.entry_id,
        "createdAt": format_instant(entry.at),
    }


def _parse_filter(text: str) -> Callable[[dict[str, Any]], bool]:
    name, _, rest = text.partition(":")
    operator, _, wanted = rest.partition(":")
    if name not in _FIELDS or operator not in _COMPARE or not wanted:
        raise provider_errors.light_error(400, "filter: expected field:operator:value", ["filter"])
    if name == "date" and not all(parse_day(day) for day in wanted.split("|")):
        raise provider_errors.light_error(400, "filter: expected a date", ["filter"])
    compare = _COMPARE[operator]
    return lambda record: compare(record[name], wanted)


def _parse_number(query: QueryParams, name: str, default: int, maximum: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX
    if not is_number or int(text) > maximum:
        raise provider_errors.light_error(
            400, f"{name}: expected an integer up to {maximum}", [name]
        )
    return int(text)

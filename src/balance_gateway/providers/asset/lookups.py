"""Look up a ledger's normal side and the entries start of a business at Asset."""

from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import (
    ProviderResponse,
    build_bad_response,
    build_refusal,
)
from balance_gateway.providers.http.preconditions import require_remote_id
from balance_gateway.providers.http.single_flight import SingleFlight

#: Statuses of an endpoint that the provider does not offer.
NOT_OFFERED_STATUSES = frozenset({404, 405})

#: Maximum number of pages searched for a business, with a hundred businesses each.
BUSINESS_PAGES_MAX = 20

_HINT = "Check the account's business_id and ledger_id."


def unwrap_data(response: ProviderResponse, now: datetime, hint: str = _HINT) -> Any:
    """Return ``data`` of a response; ``hint`` is the next step after a refusal.

    Raises:
        ProviderError: The status is not 2xx, or ``error`` is set in spite of a 2xx status.
    """
    # For other statuses ``error`` adds nothing to the status.
    if not response.ok:
        raise build_refusal(response, now, hint=hint)
    with parsing_response(response):
        body = json_fields.require_object(response.body, "the response")
        if body.get("error") is not None:
            raise json_fields.MalformedResponse("error is set with a 2xx status")
        if "data" not in body:
            raise json_fields.MalformedResponse("data is missing")
    return body["data"]


def index_rows_by_ledger(data: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a trial balance by ledger; more than one for a duplicate id."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in json_fields.require_list(data, "data"):
        row = json_fields.require_object(item, "a row")
        rows.setdefault(json_fields.parse_text(row, "ledger_id"), []).append(row)
    return rows


class AssetLookups:
    """Reads ledgers and businesses; caches normal sides for the life of the process."""

    def __init__(self, http: ProviderHTTP, clock: Clock) -> None:
        """Store the connector's HTTP client and clock."""
        self._http = http
        self._clock = clock
        self._sides: dict[tuple[str, str], Side] = {}
        self._side_lookups: SingleFlight[Side | None] = SingleFlight()

    async def aclose(self) -> None:
        """Cancel running look-ups."""
        await self._side_lookups.aclose()

    async def find_side(self, account: Account) -> Side | None:
        """Return the ledger's ``debit_credit``; None, without caching it, if it is not offered."""
        key = require_remote_id(account, "business_id"), require_remote_id(account, "ledger_id")
        cached = self._sides.get(key)
        return cached or await self._side_lookups.join(key, lambda: self._read_side(*key))

    async def get_entries_start(self, business_id: str) -> datetime | None:
        """Return the business's ``entries_start``; None if Asset does not provide it.

        Raises:
            GatewayError: Asset cannot be read, or lists more than ``BUSINESS_PAGES_MAX`` pages.
        """
        response = await self._http.send("business read", "GET", "v0", "business", business_id)
        if response.status not in NOT_OFFERED_STATUSES:
            with parsing_response(response):
                business = json_fields.require_object(unwrap_data(response, self._clock()), "data")
                return json_fields.parse_optional_instant(business, "entries_start")
        # Reading one business is not documented on any page; the list is.
        query = {"page_size": "100"}
        for _ in range(BUSINESS_PAGES_MAX):
            response = await self._http.send("business list", "GET", "v0", "business", query=query)
            if response.status in NOT_OFFERED_STATUSES:
                return None
            with parsing_response(response):
                for item in json_fields.require_list(unwrap_data(response, self._clock()), "data"):
                    business = json_fields.require_object(item, "a business")
                    if business.get("id") == business_id:
                        return json_fields.parse_optional_instant(business, "entries_start")
                pagination = response.body.get("pagination")
                pages = (
                    {}
                    if pagination is None
                    else json_fields.require_object(pagination, "pagination")
                )
                token = json_fields.parse_optional_text(pages, "next_page_token")
            if token is None:
                return None
            query["page_token"] = token
        raise build_bad_response(response.operation, f"it has more than {BUSINESS_PAGES_MAX} pages")

    async def _read_side(self, business_id: str, ledger_id: str) -> Side | None:
        path = ("v0", "business", business_id, "ledger", ledger_id)
        response = await self._http.send("normal-balance read", "GET", *path)
        if response.status in NOT_OFFERED_STATUSES:
            return None
        if response.status in {401, 403}:
            error = build_refusal(response, self._clock())
            error.message += " Or set the account's normal_balance to debit or credit."
            error.args = (error.message,)
            raise error
        with parsing_response(response):
            record = json_fields.require_object(unwrap_data(response, self._clock()), "data")
            try:
                side = Side(json_fields.parse_text(record, "debit_credit"))
            except ValueError:
                problem = "debit_credit is neither debit nor credit; configure normal_balance"
                raise json_fields.MalformedResponse(problem) from None
        self._sides[business_id, ledger_id] = side
        return side

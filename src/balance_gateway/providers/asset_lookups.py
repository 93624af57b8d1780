"""What Asset's adapter looks up: a ledger's normal side, and when a business's books start."""

from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.providers import json_fields
from balance_gateway.providers.errors import ProviderResponse, bad_response, build_refusal
from balance_gateway.providers.http import ProviderHTTP, reading
from balance_gateway.providers.single_flight import SingleFlight

#: Statuses of an endpoint that is not there.
NOT_OFFERED = frozenset({404, 405})

#: Pages of businesses that are searched for an entries start, a hundred businesses each.
BUSINESS_PAGES_MAX = 20

_HINT = "Check the account's business_id and ledger_id."


def unwrap_data(answer: ProviderResponse, now: datetime) -> Any:
    """The ``data`` of an answer. What its sibling ``error`` says, the status says too.

    Raises:
        ProviderError: the status is not 2xx, or the answer says that it is an error all the same.
    """
    if not answer.ok:
        raise build_refusal(answer, now, hint=_HINT)
    with reading(answer):
        body = json_fields.an_object(answer.body, "the answer")
        if body.get("error") is not None:
            raise json_fields.WrongShape("it says that it is an error")
        if "data" not in body:
            raise json_fields.WrongShape("data is missing")
    return body["data"]


class AssetLookups:
    """Asks for what is not a balance; remembers normal sides for the life of the process."""

    def __init__(self, http: ProviderHTTP, clock: Clock) -> None:
        """Takes the connector's HTTP."""
        self._http = http
        self._clock = clock
        self._sides: dict[tuple[str, str], Side] = {}
        self._flights: SingleFlight[Side] = SingleFlight()

    async def aclose(self) -> None:
        """Ends the look-ups under way."""
        await self._flights.aclose()

    async def side(self, business_id: str, ledger_id: str) -> Side:
        """The ledger's ``debit_credit``; DEBIT, and not remembered, where it is not offered."""
        key = business_id, ledger_id
        known = self._sides.get(key)
        return known or await self._flights.join(key, lambda: self._side(*key))

    async def entries_start(self, business_id: str) -> datetime | None:
        """The business's ``entries_start``; None where Asset does not tell it."""
        answer = await self._http.send("business read", "GET", "v0", "business", business_id)
        if answer.status not in NOT_OFFERED:
            with reading(answer):
                business = json_fields.an_object(unwrap_data(answer, self._clock()), "data")
                return json_fields.optional_instant(business, "entries_start")
        query = {"page_size": "100"}
        for _ in range(BUSINESS_PAGES_MAX):
            answer = await self._http.send("business list", "GET", "v0", "business", query=query)
            if answer.status in NOT_OFFERED:
                return None
            with reading(answer):
                for item in json_fields.a_list(unwrap_data(answer, self._clock()), "data"):
                    business = json_fields.an_object(item, "a business")
                    if business.get("id") == business_id:
                        return json_fields.optional_instant(business, "entries_start")
                pagination = answer.body.get("pagination")
                pages = (
                    {} if pagination is None else json_fields.an_object(pagination, "pagination")
                )
                token = json_fields.optional_text(pages, "next_page_token")
            if token is None:
                return None
            query["page_token"] = token
        raise bad_response(answer.operation, "it has too many pages")

    async def _side(self, business_id: str, ledger_id: str) -> Side:
        path = ("v0", "business", business_id, "ledger", ledger_id)
        answer = await self._http.send("normal-balance read", "GET", *path)
        if answer.status in NOT_OFFERED:
            return Side.DEBIT
        if answer.status in {401, 403}:
            error = build_refusal(answer, self._clock())
            error.message += " Or configure the account's normal_balance: debit or credit."
            error.args = (error.message,)
            raise error
        with reading(answer):
            record = json_fields.an_object(unwrap_data(answer, self._clock()), "data")
            try:
                side = Side(json_fields.text(record, "debit_credit"))
            except ValueError:
                what = "debit_credit is neither debit nor credit; configure normal_balance"
                raise json_fields.WrongShape(what) from None
        self._sides[business_id, ledger_id] = side
        return side

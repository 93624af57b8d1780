"""Read the bank feeds of a business at Asset: one listing of its external accounts.

Source: docs.getasset.com, v0: ``GET …/business/{id}/external-account``, "List all external accounts
for a business", and the schema of an external account.

* ``status``: "connected, disconnected, untracked". Another value is an unknown state, no error.
* ``last_synced_at``: "Datetime when the external account was last synced".
* ``disconnected_at``: "Datetime when the external account was disconnected".
* ``external_balance``: "The current balance of the External Account", a number of major units. It
  is never reported for a day.

Undocumented: the sign of ``external_balance``. It is assumed to be on the ledger's normal side, as
opening balances are, so that a card owing 500 is +500 there and −500 here.
Undocumented: the instant of ``external_balance``. ``last_balanced_at`` ("when the external account
was last balanced") and ``last_statement_end_date`` ("when the external account balance was last
updated") can both be meant: the earlier one counts, so that the balance never looks too new.
Undocumented: paging of the listing. ``pagination.next_page_token`` is followed where there is one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, with_account
from balance_gateway.providers.asset.lookups import unwrap_data
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse, build_bad_response
from balance_gateway.providers.http.preconditions import find_remote_id, require_remote_id

#: Maximum number of pages that are read.
PAGES_MAX = 20

_STATES = {
    "connected": BankFeedState.CONNECTED,
    "disconnected": BankFeedState.DISCONNECTED,
    "untracked": BankFeedState.UNTRACKED,
}

Rows = list[dict[str, Any]]


class AssetBankFeeds:
    """Reads the external accounts of a connector's businesses; caches nothing."""

    def __init__(self, http: ProviderHTTP, clock: Clock) -> None:
        """Store the connector's HTTP client and clock."""
        self._http = http
        self._clock = clock

    async def read(self, accounts: Sequence[Account]) -> Sequence[BankFeed | GatewayError | None]:
        """Read the feeds of accounts of one business.

        Returns:
            One item per account, in order: the feed, None for a ledger without an external
            account, or the error of this account.

        Raises:
            GatewayError: The external accounts cannot be listed.
        """
        response, rows = await self._list_rows(require_remote_id(accounts[0], "business_id"))
        return [_build_feed(response, rows, account) for account in accounts]

    async def _list_rows(self, business_id: str) -> tuple[ProviderResponse, Rows]:
        path = ("v0", "business", business_id, "external-account")
        rows: Rows = []
        query: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            response = await self._http.send("bank-feed read", "GET", *path, query=query or None)
            data = unwrap_data(response, self._clock())
            with parsing_response(response):
                items = json_fields.require_list(data, "data")
                # An item that is no object is the record of none of the accounts.
                rows += [item for item in items if isinstance(item, dict)]
                pagination = response.body.get("pagination")
                pages = pagination if isinstance(pagination, dict) else {}
                token = json_fields.parse_optional_text(pages, "next_page_token")
            if not token:
                return response, rows
            query = {"page_token": token}
        raise build_bad_response(response.operation, f"it has more than {PAGES_MAX} pages")


def _build_feed(
    response: ProviderResponse, rows: Rows, account: Account
) -> BankFeed | GatewayError | None:
    try:
        with parsing_response(response):
            row = _find_row(rows, account)
            return None if row is None else _parse_feed(row, account)
    except GatewayError as error:
        return with_account(error, account_id=account.id)


def _find_row(rows: Rows, account: Account) -> dict[str, Any] | None:
    """Return the account's row: by its external account if configured, else by its ledger."""
    ledger_id = require_remote_id(account, "ledger_id")
    external_id = find_remote_id(account, "external_account_id")
    if external_id is None:
        found = [row for row in rows if row.get("ledger_id") == ledger_id]
        if len(found) > 1:
            problem = "several external accounts for this ledger; configure external_account_id"
            raise json_fields.MalformedResponse(problem)
        return found[0] if found else None
    found = [row for row in rows if row.get("id") == external_id]
    if len(found) != 1:
        problem = "several external accounts with this id" if found else "no such external account"
        raise json_fields.MalformedResponse(f"{problem}; check external_account_id")
    if found[0].get("ledger_id") != ledger_id:
        problem = "the external account feeds another ledger; check external_account_id"
        raise json_fields.MalformedResponse(problem)
    return found[0]


def _parse_feed(row: dict[str, Any], account: Account) -> BankFeed:
    status = row.get("status")
    state = _STATES.get(status if isinstance(status, str) else "", BankFeedState.UNKNOWN)
    is_connected = state is BankFeedState.CONNECTED
    disconnected_at = json_fields.parse_optional_instant(row, "disconnected_at")
    latest, problem = _parse_latest(row, account)
    return BankFeed(
        state=state,
        last_synced_at=json_fields.parse_optional_instant(row, "last_synced_at"),
        # A time that remains after the account was connected again says nothing about now.
        disconnected_at=None if is_connected else disconnected_at,
        needs_attention=state is BankFeedState.DISCONNECTED,
        latest=latest,
        latest_problem=problem,
    )


def _parse_latest(
    row: dict[str, Any], account: Account
) -> tuple[ReportedFigure | None, str | None]:
    """Return the latest balance, or what is wrong with it; the rest of the feed stays usable."""
    if row.get("external_balance") is None:
        return None, None
    try:
        minor_units = json_fields.parse_major_units(row, "external_balance", account.currency)
        times: list[datetime | None] = [
            json_fields.parse_optional_instant(row, key)
            for key in ("last_balanced_at", "last_statement_end_date")
        ]
    except json_fields.MalformedResponse as problem:
        return None, str(problem)
    reported_at = min((each for each in times if each is not None), default=None)
    return ReportedFigure(minor_units, reported_at), None

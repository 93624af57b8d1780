"""Read the bank feeds of a business at Layer: one listing of its external accounts.

Source: docs.layerfi.com, v1: ``GET …/businesses/{id}/external-accounts``, "External accounts
represent all connected financial accounts".

* ``latest_balance_timestamp``: "The latest balance timestamp": ``balance`` in cents, ``at``, and
  ``created_at``, when Layer recorded it. It is never reported for a day.
* ``is_syncing``: "Whether the external account is currently syncing".
* ``connection_needs_repair_as_of``: "Timestamp indicating when the connection started needing
  repair"; ``reconnect_with_new_credentials``: "Whether the connection requires reconnection with
  new credentials"; ``requires_user_confirmation_as_of``: "Timestamp indicating when user
  confirmation was required".
* ``archived_at``: "Timestamp when the external account was archived", which "will prevent the
  account from syncing new transactions".
* ``notifications``: "List of notifications for this external account"; any of them asks a person to
  act, such as ``OPENING_BALANCE_MISSING``.

Undocumented: when an account was last synced. Layer recorded the latest balance then at the latest:
``created_at`` counts, or ``at`` where it is missing.
Undocumented: the sign of ``balance``. It is assumed to be on the account's normal side, as ledger
and opening balances are.
Undocumented: paging of the listing. It is followed where ``meta.pagination`` has ``has_more``.
"""

from collections.abc import Sequence
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, with_account
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse, build_bad_response
from balance_gateway.providers.http.preconditions import require_remote_id
from balance_gateway.providers.layer import responses

#: Maximum number of pages that are read.
PAGES_MAX = 20

_BROKEN_STATES = frozenset({BankFeedState.NEEDS_REPAIR, BankFeedState.DISCONNECTED})

Rows = dict[str, list[dict[str, Any]]]


class LayerBankFeeds:
    """Reads the external accounts of a connector's businesses; caches nothing."""

    def __init__(self, http: ProviderHTTP, clock: Clock) -> None:
        """Store the connector's HTTP client and clock."""
        self._http = http
        self._clock = clock

    async def read(self, accounts: Sequence[Account]) -> Sequence[BankFeed | GatewayError | None]:
        """Read the feeds of accounts of one business.

        Returns:
            One item per account, in order: the feed, or the error of this account.

        Raises:
            GatewayError: The external accounts cannot be listed.
        """
        response, rows = await self._list_rows(require_remote_id(accounts[0], "business_id"))
        return [_build_feed(response, rows, account) for account in accounts]

    async def _list_rows(self, business_id: str) -> tuple[ProviderResponse, Rows]:
        path = ("v1", "businesses", business_id, "external-accounts")
        rows: Rows = {}
        query: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            response = await self._http.send("bank-feed read", "GET", *path, query=query or None)
            data = responses.unwrap_data(response, self._clock())
            with parsing_response(response):
                _add_rows(rows, json_fields.require_list(data, "the external accounts"))
                cursor = find_next_cursor(response.body)
            if cursor is None:
                return response, rows
            query = {"cursor": cursor}
        raise build_bad_response(response.operation, f"it has more than {PAGES_MAX} pages")


def _add_rows(rows: Rows, items: list[Any]) -> None:
    """Add the rows by their id; one without a readable id is the record of none of the accounts."""
    for item in items:
        try:
            row = json_fields.require_object(item, "an external account")
            external_id = responses.parse_account_id(row, "id").lower()
        except json_fields.MalformedResponse:
            continue
        rows.setdefault(external_id, []).append(row)


def find_next_cursor(body: Any) -> str | None:
    """Return the cursor of the next page of a list; None on the last page."""
    meta = body.get("meta") if isinstance(body, dict) else None
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict) or pagination.get("has_more") is not True:
        return None
    return json_fields.parse_text(pagination, "cursor")


def _build_feed(
    response: ProviderResponse, rows: Rows, account: Account
) -> BankFeed | GatewayError:
    try:
        with parsing_response(response):
            # UUIDs, of which two spellings are one account.
            found = rows.get(require_remote_id(account, "external_account_id").lower(), [])
            if len(found) != 1:
                problem = "several external accounts" if found else "no external account"
                raise json_fields.MalformedResponse(
                    f"{problem} with this id; check external_account_id"
                )
            return _parse_feed(found[0])
    except GatewayError as error:
        return with_account(error, account_id=account.id)


def _parse_feed(row: dict[str, Any]) -> BankFeed:
    archived_at = json_fields.parse_optional_instant(row, "archived_at")
    broken_at = json_fields.parse_optional_instant(row, "connection_needs_repair_as_of")
    state = BankFeedState.CONNECTED
    if archived_at is not None:
        state = BankFeedState.DISCONNECTED
    elif broken_at is not None or _parse_flag(row, "reconnect_with_new_credentials"):
        state = BankFeedState.NEEDS_REPAIR
    elif _parse_flag(row, "is_syncing"):
        state = BankFeedState.SYNCING
    asks = row.get("requires_user_confirmation_as_of") is not None
    notifications = json_fields.parse_optional_list(row, "notifications")
    timestamp = row.get("latest_balance_timestamp")
    newest = {} if timestamp is None else json_fields.require_object(timestamp, "the balance")
    at = json_fields.parse_optional_instant(newest, "at")
    latest, problem = None, None
    if newest.get("balance") is not None:
        try:
            latest = ReportedFigure(json_fields.parse_integer(newest, "balance"), at)
        except json_fields.MalformedResponse as error:
            problem = str(error)
    return BankFeed(
        state=state,
        last_synced_at=json_fields.parse_optional_instant(newest, "created_at") or at,
        disconnected_at=archived_at or broken_at,
        needs_attention=state in _BROKEN_STATES or asks or bool(notifications),
        latest=latest,
        latest_problem=problem,
    )


def _parse_flag(row: dict[str, Any], key: str) -> bool:
    """Return a boolean; False if the field is null or missing."""
    value = row.get(key)
    if value is not None and not isinstance(value, bool):
        raise json_fields.MalformedResponse(f"{key} is not a boolean")
    return value is True

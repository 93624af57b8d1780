"""List the accounts at Asset: the ledgers of bank and card accounts, business by business.

Source: docs.getasset.com, v0: ``GET /v0/business``, ``GET …/business/{id}/external-account``, "List
all External Accounts for a Business", and ``GET …/business/{id}/ledger``.

* Paging: "If either token is null, there are no additional pages in that direction"; "include the
  page_token parameter"; "a maximum of 100 records per page".
* An account of the gateway is a ledger: one that an external account feeds (``ledger_id``), or one
  with a ``financial_account_type`` of an account that holds or owes money.
* ``debit_credit`` of the ledger is the normal side. Asset names no currency and no time zone.

Undocumented: paging of external accounts and ledgers. ``next_page_token`` is followed where there
is one, at the top level or in ``pagination``: the pages show both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import Unsupported
from balance_gateway.domain.remote_accounts import RemoteAccount, RemoteAccountList
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.providers.asset.lookups import NOT_OFFERED_STATUSES, unwrap_data
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.listings import (
    UNREADABLE,
    Page,
    Skipped,
    find_id,
    read_name,
    read_pages,
    read_word,
    require_businesses,
)

#: The ledgers that are accounts, without an external account too.
_ACCOUNT_TYPES = frozenset({"bank_account", "credit_card", "prepaid_card", "payments", "loan"})

_HINT = "Check the business, and that the credentials have the scope ledger:read."

Row = dict[str, Any]


class AssetAccountList:
    """Lists the accounts of a connector's businesses; caches nothing."""

    def __init__(self, http: ProviderHTTP, clock: Clock) -> None:
        """Store the connector's HTTP client and clock."""
        self._http = http
        self._clock = clock

    async def read(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the accounts; see ``AccountLister.list_accounts``."""
        require_businesses(businesses)
        skipped = Skipped()
        notes = dict.fromkeys(businesses, "") or await self._list_businesses(run, skipped)
        accounts: list[RemoteAccount] = []
        for business_id, note in notes.items():
            accounts += await self._list_business(business_id, note, run, skipped)
        return RemoteAccountList(tuple(accounts), skipped)

    async def _list_businesses(self, run: RunCall, skipped: Skipped) -> dict[str, str]:
        """Return a note for each business, by its id; empty for none."""
        rows = await self._read_list(run, "v0", "business", page_size="100")
        if rows is None:
            message = (
                "Asset does not offer the list of businesses at base_url: name the"
                " businesses to list with --business."
            )
            raise Unsupported(message, provider=ProviderKind.ASSET.name)
        notes = {}
        for row in rows:
            business_id = find_id(row, "id")
            if business_id is None:
                skipped[f"businesses {UNREADABLE}"] += 1
                continue
            is_inactive = read_word(row, "status") == "inactive"
            notes[business_id] = "inactive business" if is_inactive else ""
        return notes

    async def _list_business(
        self, business_id: str, note: str, run: RunCall, skipped: Skipped
    ) -> list[RemoteAccount]:
        path = ("v0", "business", business_id)
        # These must be readable; ledgers only add to them.
        external = await self._read_list(run, *path, "external-account", is_optional=False) or []
        listed = await self._read_list(run, *path, "ledger")
        ledgers: dict[str, Row] = {}
        for row in listed or []:
            ledger_id = find_id(row, "id")
            if ledger_id is None:
                skipped[f"ledgers {UNREADABLE}"] += 1
            else:
                ledgers.setdefault(ledger_id, row)
        fed: dict[str, list[Row]] = defaultdict(list)
        for row in external:
            ledger_id = find_id(row, "ledger_id")
            if ledger_id is None:
                skipped["external accounts without a ledger"] += 1
            else:
                fed[ledger_id].append(row)
        others = [
            ledger_id
            for ledger_id, row in ledgers.items()
            if ledger_id not in fed and read_word(row, "financial_account_type") in _ACCOUNT_TYPES
        ]
        return [
            _build_account(business_id, each, ledgers.get(each, {}), fed.get(each, []), note)
            for each in [*fed, *others]
        ]

    async def _read_list(
        self, run: RunCall, *path: str, is_optional: bool = True, **query: str
    ) -> list[Row] | None:
        """Return the entries of all pages; None if an optional list is not offered."""
        not_offered = False

        async def read_page(cursor: str | None) -> Page:
            nonlocal not_offered
            parameters = query if cursor is None else {**query, "page_token": cursor}
            response = await self._http.send("account list", "GET", *path, query=parameters or None)
            if is_optional and response.status in NOT_OFFERED_STATUSES:
                not_offered = True
                return Page(response, [], None)
            data = unwrap_data(response, self._clock(), hint=_HINT)
            with parsing_response(response):
                rows = json_fields.require_list(data, "data")
                return Page(response, rows, _find_next_token(response.body))

        rows = await read_pages(run, read_page)
        return None if not_offered else rows


def _find_next_token(body: Mapping[str, Any]) -> str | None:
    pagination = body.get("pagination")
    holder = pagination if isinstance(pagination, dict) else dict(body)
    return json_fields.parse_optional_text(holder, "next_page_token") or None


def _build_account(
    business_id: str, ledger_id: str, ledger: Row, external: Sequence[Row], note: str
) -> RemoteAccount:
    remote = {"business_id": business_id, "ledger_id": ledger_id}
    notes = [note]
    only = external[0] if len(external) == 1 else {}
    external_id = find_id(only, "id")
    if external_id is not None:
        remote["external_account_id"] = external_id
    if len(external) > 1:
        notes.append("several external accounts: set external_account_id to one of them")
    status = read_word(only, "status")
    if status in {"disconnected", "untracked"}:
        notes.append(status)
    sides = {side.value: side for side in Side}
    return RemoteAccount(
        remote=remote,
        name=read_name(only, "name") or read_name(ledger, "name"),
        side=sides.get(read_word(ledger, "debit_credit")),
        kind=read_word(ledger, "financial_account_type"),
        note=", ".join(filter(None, notes)),
    )

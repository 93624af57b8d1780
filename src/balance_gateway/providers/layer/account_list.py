"""List the external accounts at Layer, business by business.

Source: docs.layerfi.com, v1: ``GET /v1/businesses``, ``GET …/ledger/balances`` and ``GET
…/businesses/{id}/external-accounts``, "all connected financial accounts".

* Paging: ``cursor`` and ``limit`` (default 100); ``meta.pagination`` has ``cursor`` and
  ``has_more``.
* ``archived_at``: archiving "will prevent the account from syncing new transactions"; an archived
  business is 404.
* ``normality`` of the ledger account is the normal side. Layer names no currency and no time zone.

Undocumented: the lists of custom and of bank accounts, which Layer's own client reads. They have
the ids that opening balances are set by: where they are offered, a custom account is matched by
``external_id``, a bank account by its ``external_accounts``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.calendar_days import Clock, format_instant
from balance_gateway.domain.errors import Unsupported
from balance_gateway.domain.remote_accounts import RemoteAccount, RemoteAccountList
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse
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
from balance_gateway.providers.layer import responses
from balance_gateway.providers.layer.bank_feed import find_next_cursor
from balance_gateway.providers.layer.ledger_tree import NOT_OFFERED_STATUSES

#: Also 403: a key may be allowed to read external accounts and not what its own client reads.
_ABSENT_STATUSES = NOT_OFFERED_STATUSES | {403}

Row = dict[str, Any]


class LayerAccountList:
    """Lists the external accounts of a connector's businesses; caches nothing."""

    def __init__(
        self, http: ProviderHTTP, clock: Clock, reporting_basis: str, write_id_key: str
    ) -> None:
        """Store the connector's HTTP client, clock and settings.

        Args:
            http: The HTTP client.
            clock: Returns the current time.
            reporting_basis: The basis of the ledger that has the normal sides.
            write_id_key: The key of the id that opening balances are set by.
        """
        self._http = http
        self._clock = clock
        self._reporting_basis = reporting_basis
        self._write_id_key = write_id_key

    async def read(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the accounts; see ``AccountLister.list_accounts``."""
        require_businesses(businesses)
        skipped = Skipped()
        accounts: list[RemoteAccount] = []
        for business_id in businesses or await self._list_businesses(run, skipped):
            accounts += await self._list_business(business_id, run, skipped)
        return RemoteAccountList(tuple(accounts), skipped)

    async def _list_businesses(self, run: RunCall, skipped: Skipped) -> list[str]:
        rows = await self._read_list(run, "v1", "businesses", absent=NOT_OFFERED_STATUSES)
        if rows is None:
            message = (
                "Layer does not offer the list of businesses at base_url: name the"
                " businesses to list with --business."
            )
            raise Unsupported(message, provider=ProviderKind.LAYER.name)
        found: dict[str, None] = {}
        for row in rows:
            business_id = find_id(row, "id")
            if business_id is None:
                skipped[f"businesses {UNREADABLE}"] += 1
            elif row.get("archived_at") is not None:
                skipped["archived businesses"] += 1
            else:
                found[business_id] = None
        return list(found)

    async def _list_business(
        self, business_id: str, run: RunCall, skipped: Skipped
    ) -> list[RemoteAccount]:
        path = ("v1", "businesses", business_id)
        rows = await self._read_list(run, *path, "external-accounts") or []
        sides = await run(lambda: self._read_sides(path))
        write_ids = await self._read_write_ids(path, run)
        accounts = []
        for row in rows:
            external_id = find_id(row, "id")
            if external_id is None:
                skipped[UNREADABLE] += 1
                continue
            remote = {"business_id": business_id, "external_account_id": external_id}
            ledger_id = find_id(row, "ledger_account_id")
            if ledger_id is not None:
                remote["ledger_account_id"] = ledger_id
            reference = read_name(row, "external_account_external_id")
            write_id = write_ids.get(external_id) or write_ids.get(reference)
            if write_id is not None:
                remote[self._write_id_key] = write_id
            accounts.append(_build_account(row, remote, sides.get(ledger_id or "")))
        return accounts

    async def _read_sides(self, path: tuple[str, ...]) -> Mapping[str, Side | None]:
        """Return the normal sides by ledger account; empty if the ledger is not offered."""
        query = {
            "end_date": format_instant(self._clock()),
            "reporting_basis": self._reporting_basis,
        }
        response = await self._http.send(
            "account list", "GET", *path, "ledger", "balances", query=query
        )
        if response.status in _ABSENT_STATUSES:
            return {}
        data = responses.unwrap_data(response, self._clock())
        with parsing_response(response):
            rows = responses.index_rows_by_account(data)
        # A duplicate id is ambiguous.
        return {
            ledger_id: responses.find_side(entries[0].record)
            for ledger_id, entries in rows.items()
            if len(entries) == 1
        }

    async def _read_write_ids(self, path: tuple[str, ...], run: RunCall) -> Mapping[str, str]:
        """Return the ids that opening balances are set by, by external account or reference."""
        by_bank_account = self._write_id_key == "bank_account_id"
        resource = "bank-accounts" if by_bank_account else "custom-accounts"
        found: dict[str, set[str]] = defaultdict(set)
        for row in await self._read_list(run, *path, resource, absent=_ABSENT_STATUSES) or []:
            account_id = find_id(row, "id")
            if account_id is None:
                continue
            external = row.get("external_accounts") if by_bank_account else None
            for each in external if isinstance(external, list) else []:
                if isinstance(each, dict) and (external_id := find_id(each, "id")) is not None:
                    found[external_id].add(account_id)
            if not by_bank_account and (reference := read_name(row, "external_id")):
                found[reference].add(account_id)
        # Of several ids none is chosen: a write must not go to another account.
        return {key: next(iter(ids)) for key, ids in found.items() if len(ids) == 1}

    async def _read_list(
        self, run: RunCall, *path: str, absent: frozenset[int] = frozenset()
    ) -> list[Row] | None:
        """Return the entries of all pages; None for one of the statuses ``absent``."""
        is_absent = False

        async def read_page(cursor: str | None) -> Page:
            nonlocal is_absent
            query = None if cursor is None else {"cursor": cursor}
            response = await self._http.send("account list", "GET", *path, query=query)
            if response.status in absent:
                is_absent = True
                return Page(response, [], None)
            return self._parse_page(response)

        rows = await read_pages(run, read_page)
        return None if is_absent else rows

    def _parse_page(self, response: ProviderResponse) -> Page:
        data = responses.unwrap_data(response, self._clock())
        with parsing_response(response):
            rows = json_fields.require_list(data, "data")
            return Page(response, rows, find_next_cursor(response.body))


def _build_account(row: Row, remote: Mapping[str, str], side: Side | None) -> RemoteAccount:
    is_archived = row.get("archived_at") is not None
    needs_repair = row.get("connection_needs_repair_as_of") is not None
    return RemoteAccount(
        remote=remote,
        name=read_name(row, "external_account_name"),
        side=side,
        kind=read_word(row, "external_account_source"),
        note="archived" if is_archived else "its connection needs repair" if needs_repair else "",
        is_closed=is_archived,
    )

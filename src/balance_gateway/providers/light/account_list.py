"""List the bank accounts at Light.

Source: docs.light.inc, v1 - Bank Accounts: ``GET /v1/bank-accounts``, a bare array without paging,
of accounts with ``id``, ``name``, ``currency`` (ISO 4217) and ``type`` ("PHYSICAL", "VIRTUAL";
"this enum is not exhaustive"). It names no normal side and no time zone.
"""

from typing import Any

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import Unsupported
from balance_gateway.domain.remote_accounts import RemoteAccount, RemoteAccountList
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import build_refusal
from balance_gateway.providers.http.listings import (
    UNREADABLE,
    Page,
    Skipped,
    find_id,
    read_name,
    read_pages,
    read_word,
)


async def read_account_list(http: ProviderHTTP, clock: Clock, run: RunCall) -> RemoteAccountList:
    """Read the list of bank accounts.

    Raises:
        Unsupported: The address does not offer the list.
        GatewayError: The list cannot be read.
    """

    async def read_page(_cursor: str | None) -> Page:
        response = await http.send("account list", "GET", "v1", "bank-accounts")
        if response.status in {404, 405}:
            message = (
                "Light does not offer the list of bank accounts at base_url: write the [[accounts]]"
                " by hand, with the bank_account_id that Light shows."
            )
            raise Unsupported(message, provider=ProviderKind.LIGHT.name)
        if not response.ok:
            raise build_refusal(response, clock(), hint="Check the connector's base_url.")
        with parsing_response(response):
            return Page(response, json_fields.require_list(response.body, "the response"), None)

    skipped = Skipped()
    accounts = []
    for row in await read_pages(run, read_page):
        bank_account_id = find_id(row, "id")
        if bank_account_id is None:
            skipped[UNREADABLE] += 1
            continue
        accounts.append(_build_account(row, bank_account_id))
    return RemoteAccountList(tuple(accounts), skipped)


def _build_account(row: dict[str, Any], bank_account_id: str) -> RemoteAccount:
    return RemoteAccount(
        remote={"bank_account_id": bank_account_id},
        name=read_name(row, "name", "bankName"),
        currency=read_name(row, "currency").upper() or None,
        kind=read_word(row, "type"),
    )

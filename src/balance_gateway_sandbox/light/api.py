"""Serve Light's bank accounts: list, balance on a day, opening balance and transactions.

Source: docs.light.inc, v1 - Bank Accounts. Units: int64 minor units; + is money in the bank.
Auth: `Basic <api_key>` (not base64) or `Bearer <token>`. Errors: `provider_errors.light_error`.
"""

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.light.transactions import build_page
from balance_gateway_sandbox.state.account_book import OpeningBalance
from balance_gateway_sandbox.state.records import LightAccount
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import authenticate
from balance_gateway_sandbox.wire_format import (
    InvalidJSONError,
    build_json_response,
    format_instant,
    is_int64,
    parse_day,
    parse_instant,
    parse_json,
    parse_media_type,
)

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class LightApi:
    """The part of Light's API that a balance gateway uses."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def build_app(self) -> Starlette:
        """Build the API as an ASGI app, to be mounted at `/light`."""
        account = "/v1/bank-accounts/{bank_account_id}"
        return Starlette(
            routes=[
                Route("/v1/bank-accounts", self.list_accounts, methods=["GET"]),
                Route(f"{account}/balance", self.get_balance, methods=["GET"]),
                Route(f"{account}/balance", self.put_balance, methods=["PUT"]),
                Route(f"{account}/bank-transactions", self.list_transactions, methods=["GET"]),
                Route("/rest/ext/v1/{rest:path}", self.redirect_old_prefix, methods=["GET", "PUT"]),
            ],
            exception_handlers={
                provider_errors.ProviderError: provider_errors.handle_provider_error,
                HTTPException: _handle_http_error,
            },
        )

    async def list_accounts(self, request: Request) -> Response:
        """Return "a bare JSON array" without balances, masks or paging."""
        tenant = self._authenticate(request)
        accounts = self._state.records.light.values()
        return _build_response(
            [_account_to_json(account) for account in accounts if account.tenant == tenant]
        )

    async def get_balance(self, request: Request) -> Response:
        """Return "the bank statement balance and ledger balance … as of the given date".

        Undocumented: the time zone of today, here UTC; the day a transaction counts for, here its
        UTC day. For an `asOf` before the opening date, the text is followed literally: the opening
        balance plus **all** bank transactions on or before that day.
        """
        book = self._find_account(request).book
        text = request.query_params.get("asOf")
        as_of = self._state.clock.now().date() if text is None else parse_day(text)
        if as_of is None:
            raise provider_errors.light_error(
                400, "asOf: expected an ISO-8601 date (YYYY-MM-DD)", ["asOf"]
            )
        bank = None
        if book.opening is not None:
            moved = book.sum_entries(lambda entry: entry.on_bank and entry.at.date() <= as_of)
            bank = int(book.opening.amount + moved)
        ledger = book.sum_entries(lambda entry: entry.on_books and entry.at.date() <= as_of)
        return _build_response(
            {
                "bankAccountId": book.remote_id,
                "currency": book.currency,
                "bankBalance": bank,
                "ledgerBalance": int(ledger),
                "asOf": as_of.isoformat(),
            }
        )

    async def put_balance(self, request: Request) -> Response:
        """Create or update "the opening balance for a bank account".

        "Only one balance per bank account is allowed — subsequent calls update the existing
        balance." `balanceAt` "defaults to current timestamp if not provided", so omitting it
        moves the date. Undocumented: success is 200; ledger lines do not change.
        """
        book = self._find_account(request).book
        body = await _read_json_object(request)
        balance, at = self._parse_upsert(body)
        now = self._state.clock.now()
        if book.opening is None:
            book.opening = OpeningBalance(self._state.new_uuid(), Decimal(balance), at, now, now)
        else:
            # An update keeps the id and the creation time.
            book.opening = replace(book.opening, amount=Decimal(balance), at=at, updated_at=now)
        return _build_response(
            {
                "id": book.opening.opening_id,
                "bankAccountId": book.remote_id,
                "balanceAt": format_instant(at),
                "balance": balance,
            }
        )

    async def list_transactions(self, request: Request) -> Response:
        """Return one page of the bank's transactions."""
        book = self._find_account(request).book
        return _build_response(build_page(book, request.query_params, self._state.options))

    async def redirect_old_prefix(self, request: Request) -> Response:
        """Redirect the older prefix: "some endpoints may redirect to other URLs"."""
        target = request.url.path.replace("/rest/ext/v1/", "/v1/", 1)
        return RedirectResponse(str(request.url.replace(path=target)), status_code=307)

    def _parse_upsert(self, body: dict[str, Any]) -> tuple[int, datetime]:
        if "balance" not in body:
            raise provider_errors.light_error(400, "balance: must not be null", ["balance"])
        balance = body["balance"]
        if not is_int64(balance):
            raise provider_errors.light_error(400, "balance: expected an int64", ["balance"])
        at = self._state.clock.now()
        if body.get("balanceAt") is not None:
            parsed = parse_instant(body["balanceAt"])
            if parsed is None:
                raise provider_errors.light_error(
                    400, "balanceAt: expected a date-time", ["balanceAt"]
                )
            at = parsed
        return balance, at

    def _authenticate(self, request: Request) -> str:
        authorization = request.headers.get("authorization")
        if authorization is None:
            raise provider_errors.light_missing_credentials_error()
        state = self._state
        caller = authenticate("light", authorization, state.catalogue, state.tokens)
        if caller is None:
            raise provider_errors.light_error(401, "Invalid credentials")
        return caller.credential.tenant

    def _find_account(self, request: Request) -> LightAccount:
        tenant = self._authenticate(request)
        bank_account_id = request.path_params["bank_account_id"]
        if not _UUID.fullmatch(bank_account_id):
            raise provider_errors.light_error(
                400, "bankAccountId: expected a UUID", ["bankAccountId"]
            )
        # UUIDs are case-insensitive; the records use lower case.
        account = self._state.records.light.get(bank_account_id.lower())
        # Another tenant's account must look as if it did not exist.
        if account is None or account.tenant != tenant:
            raise provider_errors.light_error(404, "Bank account not found")
        return account


async def _read_json_object(request: Request) -> dict[str, Any]:
    if parse_media_type(request.headers.get("content-type", "")) != "application/json":
        raise provider_errors.light_error(
            415, "Content-Type must be application/json;charset=UTF-8"
        )
    try:
        body = parse_json(await request.body())
    except InvalidJSONError:
        raise provider_errors.light_error(400, "Unable to process JSON") from None
    if not isinstance(body, dict):
        raise provider_errors.light_error(400, "Unable to process JSON: expected an object")
    return body


def _account_to_json(account: LightAccount) -> dict[str, Any]:
    book = account.book
    return {
        "id": book.remote_id,
        "companyId": account.company_id,
        "companyEntityId": account.company_entity_id,
        "name": book.name,
        "type": "PHYSICAL",
        "bankProvider": "OTHER",
        "paymentSchedulingEligibility": "INELIGIBLE",
        "iban": None,
        "bic": None,
        "currency": book.currency,
        "bankCountry": "UNDEFINED",
        "bankName": "Example Bank",
        "ledgerAccountCode": account.ledger_account_code,
        "createdAt": format_instant(account.created_at),
    }


def _build_response(value: object) -> Response:
    return build_json_response(value, media_type=provider_errors.LIGHT_MEDIA_TYPE)


async def _handle_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return provider_errors.light_error(error.status_code, error.detail).to_response()

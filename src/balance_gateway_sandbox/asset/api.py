"""Serve Asset's businesses, ledgers, external accounts and opening-balance write.

Source: docs.getasset.com, API v0. Units: decimal major units; a ledger's opening balance is
positive on its normal side. Auth: `Bearer` token with scopes. Errors: `{error, data}`.
"""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.asset.paging import build_page
from balance_gateway_sandbox.asset.reports import AssetReports
from balance_gateway_sandbox.asset.token_endpoint import issue_token
from balance_gateway_sandbox.state.account_book import OpeningBalance, convert_side
from balance_gateway_sandbox.state.records import AssetBusiness, AssetExternalAccount, AssetLedger
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import authenticate
from balance_gateway_sandbox.wire_format import (
    InvalidJSONError,
    build_json_response,
    format_instant,
    has_supported_digits,
    parse_json,
    parse_media_type,
    to_plain_decimal,
)

_ID: Final = re.compile(r"(biz|ldg|eac)_[0-9A-Za-z]{22}")
AMOUNT: Final = re.compile(r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", re.ASCII)
"""The documented pattern of an amount given as text."""


class AssetApi:
    """The part of Asset's API that a balance gateway uses."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def build_app(self) -> Starlette:
        """Build the API as an ASGI app, to be mounted at `/asset`."""
        business = "/v0/business/{business_id}"
        reports = AssetReports(self.find_business, self.find_ledger)
        return Starlette(
            routes=[
                Route("/v0/auth/token", self.post_token, methods=["POST"]),
                Route("/v0/business", self.list_businesses, methods=["GET"]),
                Route(business, self.get_business, methods=["GET"]),
                Route(f"{business}/ledger", self.list_ledgers, methods=["GET"]),
                Route(f"{business}/ledger/{{ledger_id}}", self.get_ledger, methods=["GET"]),
                Route(
                    f"{business}/ledger/{{ledger_id}}/opening-balance",
                    self.put_opening_balance,
                    methods=["PUT"],
                ),
                Route(f"{business}/external-account", self.list_external_accounts, methods=["GET"]),
                Route(
                    f"{business}/external-account/{{external_account_id}}",
                    self.get_external_account,
                    methods=["GET"],
                ),
                *reports.build_routes(f"{business}/reports"),
            ],
            exception_handlers={
                provider_errors.ProviderError: provider_errors.handle_provider_error,
                HTTPException: _handle_http_error,
            },
        )

    async def post_token(self, request: Request) -> Response:
        """Issue an access token for client credentials."""
        content_type = request.headers.get("content-type", "")
        return build_json_response(issue_token(self._state, content_type, await request.body()))

    async def list_businesses(self, request: Request) -> Response:
        """Return a page of the tenant's businesses."""
        tenant, only_business_id = self._authorize(request, "ledger:read")
        businesses = [
            _business_to_json(business)
            for business in self._state.records.asset.values()
            if business.tenant == tenant and only_business_id in (None, business.business_id)
        ]
        return self._build_list(businesses, request)

    async def get_business(self, request: Request) -> Response:
        """Return one business with its `entries_start`."""
        return build_json_response({"data": _business_to_json(self.find_business(request))})

    async def list_ledgers(self, request: Request) -> Response:
        """Return a page of the ledgers of a business, without balances."""
        business = self.find_business(request)
        ledgers = [_ledger_to_json(business, ledger) for ledger in business.ledgers.values()]
        return self._build_list(ledgers, request)

    async def get_ledger(self, request: Request) -> Response:
        """Return one ledger."""
        business, ledger = self.find_ledger(request)
        return build_json_response({"data": _ledger_to_json(business, ledger)})

    async def list_external_accounts(self, request: Request) -> Response:
        """Return a page of the external accounts, filtered by `source`, `type` and `status`."""
        business = self.find_business(request)
        query = request.query_params
        accounts = [
            self._external_account_to_json(business, account)
            for account in business.external_accounts.values()
        ]
        for name in ("source", "type", "status"):
            if name in query:
                accounts = [account for account in accounts if account[name] == query[name]]
        return self._build_list(accounts, request)

    async def get_external_account(self, request: Request) -> Response:
        """Return one external account."""
        business = self.find_business(request)
        wanted = _parse_path_id(request, "external_account_id")
        account = business.external_accounts.get(wanted)
        if account is None:
            raise provider_errors.asset_error(404, "External account not found")
        return build_json_response({"data": self._external_account_to_json(business, account)})

    async def put_opening_balance(self, request: Request) -> Response:
        """Set "the opening balance for this ledger as of the business entries start date".

        "Positive values represent the normal balance side of the ledger, negative values represent
        the opposite side." A second call replaces the first. Undocumented: the ledger that offsets
        all opening balances refuses an opening balance of its own (422).
        """
        business, ledger = self.find_ledger(request, "ledger:update")
        amount = await _read_amount(request)
        if ledger.subtype == "opening_balance":
            raise provider_errors.asset_error(422, "This ledger takes no opening balance")
        now, book = self._state.clock.now(), ledger.book
        if book.opening is None:
            opening_id = self._state.new_id("je")
            book.opening = OpeningBalance(opening_id, amount, business.entries_start, now, now)
        else:
            # An update keeps the id and the creation time.
            book.opening = replace(book.opening, amount=amount, updated_at=now)
        return build_json_response({"data": {"ledger_id": book.remote_id, "amount": amount}})

    def find_business(self, request: Request, scope: str = "ledger:read") -> AssetBusiness:
        """Return the business in the path.

        Raises:
            ProviderError: 401 or 403 for a token that does not allow it; 404 if the business does
                not exist or belongs to another tenant.
        """
        tenant, only_business_id = self._authorize(request, scope)
        business_id = _parse_path_id(request, "business_id")
        business = self._state.records.asset.get(business_id)
        if (
            business is None
            or business.tenant != tenant
            or only_business_id not in (None, business_id)
        ):
            raise provider_errors.asset_error(404, "Business not found")
        return business

    def find_ledger(
        self, request: Request, scope: str = "ledger:read"
    ) -> tuple[AssetBusiness, AssetLedger]:
        """Return the business and the ledger in the path.

        Raises:
            ProviderError: As `find_business`, or 404 if the ledger does not exist.
        """
        business = self.find_business(request, scope)
        ledger = business.ledgers.get(_parse_path_id(request, "ledger_id"))
        if ledger is None:
            raise provider_errors.asset_error(404, "Ledger not found")
        return business, ledger

    def _build_list(self, rows: list[dict[str, Any]], request: Request) -> Response:
        page = build_page(rows, request.query_params, self._state.options.list_page_size)
        return build_json_response(page)

    def _authorize(self, request: Request, scope: str) -> tuple[str, str | None]:
        """Return the caller's tenant and, for a token limited to one business, its id.

        Undocumented: the scope of reads other than ledgers; here `ledger:read` for all of them.
        """
        authorization = request.headers.get("authorization", "")
        state = self._state
        caller = authenticate("asset", authorization, state.catalogue, state.tokens)
        if caller is None:
            raise provider_errors.asset_error(401, "Invalid or expired access token")
        if scope not in caller.scopes:
            raise provider_errors.asset_error(
                403, f"Scope {scope} is required", {"required": [scope]}
            )
        return caller.credential.tenant, caller.business_id

    def _external_account_to_json(
        self, business: AssetBusiness, account: AssetExternalAccount
    ) -> dict[str, Any]:
        """Build an external account. `external_balance` has no timestamp and may be null."""
        ledger = business.ledgers[account.ledger_id]
        now = self._state.clock.now()
        balance = None
        if account.reports_balance:
            moved = ledger.book.sum_entries(lambda entry: entry.on_bank and entry.at <= now)
            balance = convert_side(
                ledger.book.compute_opening_debit() + moved, ledger.book.normal_side
            )
        return {
            "id": account.external_account_id,
            "business_id": business.business_id,
            "ledger_id": account.ledger_id,
            "contribution_ledger_id": None,
            "distribution_ledger_id": None,
            "name": account.name,
            "mask": account.mask,
            "type": "business",
            "source": account.source,
            "status": account.status,
            "external_id": None,
            "linked_item_id": None,
            "external_balance": None if balance is None else to_plain_decimal(balance),
            "last_synced_at": format_instant(now),
            "last_balanced_at": None,
            "last_statement_end_date": None,
            "disconnected_at": None,
            "metadata_": {},
            **account.feed_changes,
        }


def _parse_path_id(request: Request, name: str) -> str:
    value: str = request.path_params[name]
    prefix = {"business_id": "biz", "ledger_id": "ldg", "external_account_id": "eac"}[name]
    if not _ID.fullmatch(value) or not value.startswith(prefix):
        raise provider_errors.asset_error(
            422, "Validation error", [{"loc": ["path", name], "msg": "invalid id"}]
        )
    return value


async def _read_amount(request: Request) -> Decimal:
    """Read the amount from the body: a number, or text of the page's pattern, but not a bool."""
    problem = None
    amount: Decimal | None = None
    try:
        if parse_media_type(request.headers.get("content-type", "")) != "application/json":
            problem = "expected application/json"
        body = parse_json(await request.body())
        value = body.get("amount") if isinstance(body, dict) else None
        if isinstance(value, str):
            amount = Decimal(value) if AMOUNT.fullmatch(value) else None
        elif isinstance(value, Decimal) or type(value) is int:
            amount = Decimal(value)
    except InvalidJSONError:
        problem = "expected JSON"
    if problem is None and (amount is None or not has_supported_digits(amount)):
        problem = "expected a number or its plain decimal text"
    if problem is not None or amount is None:
        detail = [{"loc": ["body", "amount"], "msg": problem}]
        raise provider_errors.asset_error(422, "Validation error", detail)
    return to_plain_decimal(amount)


def _business_to_json(business: AssetBusiness) -> dict[str, Any]:
    return {
        "id": business.business_id,
        "tenant_id": f"tenant-{business.tenant}",
        "name": business.name,
        "industry": "software",
        "entries_start": format_instant(business.entries_start),
        "entity_type": "c-corp",
        "fiscal_year": "12/31",
        "external_id": business.tenant,
        "status": "active",
        "onboarding_date": format_instant(business.entries_start),
        "plan": "standard",
    }


def _ledger_to_json(business: AssetBusiness, ledger: AssetLedger) -> dict[str, Any]:
    return {
        "id": ledger.book.remote_id,
        "business_id": business.business_id,
        "name": ledger.book.name,
        "type": ledger.type,
        "subtype": ledger.subtype,
        "debit_credit": ledger.book.normal_side,
        "report_cash_flow": False,
        "financial_account_type": ledger.financial_account_type,
        "sort_code": ledger.sort_code,
        "parent_id": None,
    }


async def _handle_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return provider_errors.asset_error(error.status_code, error.detail).to_response()

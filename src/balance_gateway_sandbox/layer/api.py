"""Serve Layer's external accounts and their opening balances.

Source: docs.layerfi.com, API v1. Units: integer cents. Auth: `Bearer` token, issued under another
path than the API's. Errors: `ApiError`, bare or in `errors`. Undocumented: the sign of an opening
balance; here the account's normal side, so that a card owing 500 opens at +500, as in its ledger.
"""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.layer.json_views import (
    bank_account_to_json,
    business_to_json,
    custom_account_to_json,
    external_account_to_json,
    opening_balance_to_json,
)
from balance_gateway_sandbox.layer.ledger_balances import build_ledger_balances
from balance_gateway_sandbox.layer.paging import InvalidPageError, cut_page
from balance_gateway_sandbox.layer.writes import (
    check_period_open,
    recalculate_opening_balance,
    set_balance,
    set_opening_balance,
)
from balance_gateway_sandbox.state.account_book import OpeningBalance
from balance_gateway_sandbox.state.records import LayerAccount, LayerBusiness
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import Caller, authenticate
from balance_gateway_sandbox.wire_format import (
    InvalidJSONError,
    build_json_response,
    parse_json,
    parse_media_type,
)


class LayerApi:
    """The part of Layer's API that a balance gateway uses."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def build_app(self) -> Starlette:
        """Build the API as an ASGI app, to be mounted at `/layer`."""
        business = "/v1/businesses/{business_id}"
        external = f"{business}/external-accounts/{{external_account_id}}"
        custom = f"{business}/custom-accounts/{{custom_account_id}}"
        bank = f"{business}/bank-accounts/{{bank_account_id}}"
        return Starlette(
            routes=[
                Route("/whoami", self.get_whoami, methods=["GET"]),
                Route("/v1/businesses", self.list_businesses, methods=["GET"]),
                Route(
                    f"{business}/external-accounts", self.list_external_accounts, methods=["GET"]
                ),
                Route(external, self.get_external_account, methods=["GET"]),
                Route(f"{external}/opening-balance", self.get_opening_balance, methods=["GET"]),
                Route(
                    f"{external}/opening-balance", self.delete_opening_balance, methods=["DELETE"]
                ),
                Route(f"{business}/custom-accounts", self.list_custom_accounts, methods=["GET"]),
                Route(f"{custom}/balance", self.set_custom_balance, methods=["POST"]),
                Route(
                    f"{custom}/opening-balance", self.recalculate_opening_balance, methods=["POST"]
                ),
                Route(f"{business}/bank-accounts", self.list_bank_accounts, methods=["GET"]),
                Route(f"{bank}/opening-balance", self.set_bank_opening_balance, methods=["POST"]),
                Route(f"{business}/ledger/balances", self.get_ledger_balances, methods=["GET"]),
            ],
            exception_handlers={
                provider_errors.ProviderError: provider_errors.handle_provider_error,
                HTTPException: self._handle_http_error,
            },
        )

    async def get_whoami(self, request: Request) -> Response:
        """Return the client's own name and id."""
        credential = self._authenticate(request).credential
        data = {"clientName": credential.tenant.title(), "clientId": credential.client_id}
        return build_json_response({"data": {"type": "whoami", **data}})

    async def list_businesses(self, request: Request) -> Response:
        """Return the businesses of the client."""
        tenant = self._authenticate(request).credential.tenant
        businesses = [
            business_to_json(business)
            for business in self._state.records.layer.values()
            if business.tenant == tenant
        ]
        return self._build_list(businesses, request)

    async def list_external_accounts(self, request: Request) -> Response:
        """Return the business's external accounts."""
        business, now = self._find_business(request), self._state.clock.now()
        accounts = [
            external_account_to_json(account, now) for account in business.accounts.values()
        ]
        return self._build_list(accounts, request)

    async def get_external_account(self, request: Request) -> Response:
        """Return one external account."""
        _, account = self._find_external_account(request)
        return self._build_response(
            "External_Account", external_account_to_json(account, self._state.clock.now())
        )

    async def list_custom_accounts(self, request: Request) -> Response:
        """Return the custom accounts. `external_id` refers to the external account.

        Undocumented: Layer's own client lists them; no known page describes the route.
        """
        business = self._find_business(request)
        accounts = [
            custom_account_to_json(account)
            for account in business.accounts.values()
            if account.custom_account_id
        ]
        return self._build_list(accounts, request)

    async def list_bank_accounts(self, request: Request) -> Response:
        """Return the bank accounts, each with its external account.

        Undocumented: only Layer's own client uses this route.
        """
        business, now = self._find_business(request), self._state.clock.now()
        accounts = [bank_account_to_json(account, now) for account in business.accounts.values()]
        return self._build_list(accounts, request, is_wrapped=True)

    async def get_opening_balance(self, request: Request) -> Response:
        """Return "the opening balance for an external account"."""
        _, account = self._find_external_account(request)
        return self._build_opening_response(account, self._get_opening(account))

    async def delete_opening_balance(self, request: Request) -> Response:
        """Delete the opening balance, or return an error if none is set.

        Undocumented: a closed period prevents deletion in the same way as a write.
        """
        business, account = self._find_external_account(request)
        check_period_open(self._state, business, self._get_opening(account).at)
        account.book.opening = None
        return self._build_response("Empty", {})

    async def set_custom_balance(self, request: Request) -> Response:
        """Set "the balance of the account at a specific time". No opening balance changes yet."""
        business, account = self._find_custom_account(request)
        set_balance(self._state, business, account, await self._read_json_object(request))
        return self._build_response("Empty", {})

    async def recalculate_opening_balance(self, request: Request) -> Response:
        """Overwrite "the opening balance … based on the current balance and the transactions"."""
        business, account = self._find_custom_account(request)
        return self._build_opening_response(
            account, recalculate_opening_balance(self._state, business, account)
        )

    async def set_bank_opening_balance(self, request: Request) -> Response:
        """Set an opening balance from `{effective_at, balance}`, as Layer's own client sends it.

        Undocumented: no known page describes the route.
        """
        business = self._find_business(request)
        bank_account_id = request.path_params["bank_account_id"]
        account = self._find_account(
            business, lambda account: account.bank_account_id == bank_account_id
        )
        body = await self._read_json_object(request)
        opening = set_opening_balance(self._state, business, account, body)
        return self._build_opening_response(account, opening)

    async def get_ledger_balances(self, request: Request) -> Response:
        """Return the ledger tree from `start_date` (inclusive) to `end_date` (exclusive)."""
        business = self._find_business(request)
        accounts = build_ledger_balances(business, request.query_params, self._state)
        return build_json_response({"data": {"type": "Ledger_Balances", "accounts": accounts}})

    def _authenticate(self, request: Request) -> Caller:
        authorization, state = request.headers.get("authorization", ""), self._state
        caller = authenticate("layer", authorization, state.catalogue, state.tokens)
        if caller is None:
            raise self._build_error(401, "The access token is missing, invalid or expired")
        content_type = request.headers.get("content-type")
        # "Content-Type must be set to application/json", yet the samples leave it out on GET.
        if content_type is not None and parse_media_type(content_type) != "application/json":
            raise self._build_error(415, "Content-Type must be set to application/json")
        return caller

    def _find_business(self, request: Request) -> LayerBusiness:
        tenant = self._authenticate(request).credential.tenant
        business = self._state.records.layer.get(request.path_params["business_id"])
        if business is None or business.tenant != tenant:
            raise self._build_not_found_error("business")
        return business

    def _find_external_account(self, request: Request) -> tuple[LayerBusiness, LayerAccount]:
        business = self._find_business(request)
        account = business.accounts.get(request.path_params["external_account_id"])
        if account is None:
            raise self._build_not_found_error("external account")
        return business, account

    def _find_custom_account(self, request: Request) -> tuple[LayerBusiness, LayerAccount]:
        business = self._find_business(request)
        custom_account_id = request.path_params["custom_account_id"]
        return business, self._find_account(
            business, lambda account: account.custom_account_id == custom_account_id
        )

    def _find_account(
        self, business: LayerBusiness, matches: Callable[[LayerAccount], bool]
    ) -> LayerAccount:
        for account in business.accounts.values():
            if matches(account):
                return account
        raise self._build_not_found_error("account")

    def _get_opening(self, account: LayerAccount) -> OpeningBalance:
        if account.book.opening is not None:
            return account.book.opening
        status = self._state.options.layer_no_opening_balance_status
        kind = "ResourceNotFound" if status == 404 else "BadRequest"
        message = "No opening balance found"
        raise self._build_error(status, message, kind=kind, error_enum="NoOpeningBalanceFound")

    async def _read_json_object(self, request: Request) -> dict[str, Any]:
        if parse_media_type(request.headers.get("content-type", "")) != "application/json":
            raise self._build_error(415, "Content-Type must be set to application/json")
        try:
            body = parse_json(await request.body())
        except InvalidJSONError:
            body = None
        if not isinstance(body, dict):
            message = "Expected a JSON object"
            raise self._build_error(
                400, message, kind="JsonSerialization", error_enum="InvalidPayload"
            )
        return body

    def _build_opening_response(self, account: LayerAccount, opening: OpeningBalance) -> Response:
        return self._build_response("Opening_Balance", opening_balance_to_json(account, opening))

    def _build_response(self, kind: str, value: dict[str, Any]) -> Response:
        """Build a response in the configured envelope."""
        if kind == "Empty":
            value = {"type": kind}
        if self._state.options.layer_envelope == "bare":
            return build_json_response(value)
        return build_json_response({"data": {"type": kind, **value}})

    def _build_list(
        self, rows: list[dict[str, Any]], request: Request, *, is_wrapped: bool = False
    ) -> Response:
        """Build a page of a list, in the configured envelope where it is the only one."""
        options = self._state.options
        try:
            page, pagination = cut_page(rows, request.query_params, options.list_page_size)
        except InvalidPageError:
            message = "The cursor or the limit is invalid"
            raise self._build_error(
                400, message, kind="PaginationCursor", error_enum="InvalidPaginationCursor"
            ) from None
        if pagination is not None:
            return build_json_response({"data": page, "meta": {"pagination": pagination}})
        is_bare = options.layer_envelope == "bare" and not is_wrapped
        return build_json_response(page if is_bare else {"data": page})

    def _build_not_found_error(self, record_kind: str) -> provider_errors.ProviderError:
        return self._build_error(
            404, f"The {record_kind} is not found", error_enum="SpecifiedIdNotFound"
        )

    def _build_error(
        self, status: int, message: str, *, kind: str | None = None, error_enum: str | None = None
    ) -> provider_errors.ProviderError:
        options = self._state.options
        return provider_errors.layer_error(
            options, status, message, kind=kind, error_enum=error_enum
        )

    async def _handle_http_error(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._build_error(error.status_code, error.detail).to_response()

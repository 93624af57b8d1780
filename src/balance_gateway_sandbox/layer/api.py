"""Layer's external accounts and their opening balances over HTTP.

Source: docs.layerfi.com, API v1. Units: integer cents. Auth: `Bearer` token of another path than
the API's. Errors: `ApiError`, bare or in `errors`. Undocumented: the sign of an opening balance;
here the account's normal side, so that a card owing 500 opens at +500, as its ledger shows it.
"""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox import provider_errors as errors
from balance_gateway_sandbox.layer.json_views import (
    bank_account,
    custom_account,
    external_account,
    opening_balance,
)
from balance_gateway_sandbox.layer.ledger_balances import ledger_balances
from balance_gateway_sandbox.layer.writes import (
    post_balance,
    post_opening_balance,
    recalculate,
    refuse_closed,
)
from balance_gateway_sandbox.state.account_book import Opening
from balance_gateway_sandbox.state.sandbox_state import LayerAccount, LayerBusiness, World
from balance_gateway_sandbox.state.tokens import Caller, caller_of
from balance_gateway_sandbox.wire_format import BadJSONError, json_response, media_type, parse_json


class LayerApi:
    """The part of Layer's API that a balance gateway uses."""

    def __init__(self, world: World) -> None:
        self._world = world

    def app(self) -> Starlette:
        """The API as an ASGI app, to be mounted at `/layer`."""
        business = "/v1/businesses/{business_id}"
        external = f"{business}/external-accounts/{{external_account_id}}"
        custom = f"{business}/custom-accounts/{{custom_account_id}}"
        bank = f"{business}/bank-accounts/{{bank_account_id}}"
        return Starlette(
            routes=[
                Route("/whoami", self.whoami, methods=["GET"]),
                Route(f"{business}/external-accounts", self.list_external, methods=["GET"]),
                Route(external, self.get_external, methods=["GET"]),
                Route(f"{external}/opening-balance", self.get_opening, methods=["GET"]),
                Route(f"{external}/opening-balance", self.delete_opening, methods=["DELETE"]),
                Route(f"{business}/custom-accounts", self.list_custom, methods=["GET"]),
                Route(f"{custom}/balance", self.set_custom_balance, methods=["POST"]),
                Route(f"{custom}/opening-balance", self.recalculate, methods=["POST"]),
                Route(f"{business}/bank-accounts", self.list_bank, methods=["GET"]),
                Route(f"{bank}/opening-balance", self.set_bank_opening, methods=["POST"]),
                Route(f"{business}/ledger/balances", self.ledger_balances, methods=["GET"]),
            ],
            exception_handlers={
                errors.Refusal: errors.answer_refusal,
                HTTPException: self._unknown_route,
            },
        )

    async def whoami(self, request: Request) -> Response:
        """Answer the client's own name and id."""
        credential = self._caller(request).credential
        data = {"clientName": credential.tenant.title(), "clientId": credential.client_id}
        return json_response({"data": {"type": "whoami", **data}})

    async def list_external(self, request: Request) -> Response:
        """Answer the business's external accounts."""
        business, now = self._business(request), self._world.clock.now()
        found = [external_account(one, now) for one in business.accounts.values()]
        return self._answer("External_Accounts", found)

    async def get_external(self, request: Request) -> Response:
        """Answer one external account."""
        _, account = self._external(request)
        return self._answer("External_Account", external_account(account, self._world.clock.now()))

    async def list_custom(self, request: Request) -> Response:
        """Answer the custom accounts; `external_id` leads to the external account.

        Undocumented: Layer's own client lists them, no page found shows it.
        """
        business = self._business(request)
        found = [custom_account(one) for one in business.accounts.values() if one.custom_account_id]
        return self._answer("Custom_Accounts", found)

    async def list_bank(self, request: Request) -> Response:
        """Answer the bank accounts, each with its external account; only Layer's client does."""
        business, now = self._business(request), self._world.clock.now()
        found = [bank_account(one, now) for one in business.accounts.values()]
        return json_response({"data": found})

    async def get_opening(self, request: Request) -> Response:
        """Fetch "the opening balance for an external account"."""
        _, account = self._external(request)
        return self._opening_answer(account, self._opening(account))

    async def delete_opening(self, request: Request) -> Response:
        """Delete the opening balance, or say that there is none.

        Undocumented: a closed period protects it as it does a write.
        """
        business, account = self._external(request)
        refuse_closed(self._world, business, self._opening(account).at)
        account.book.opening = None
        return self._answer("Empty", {})

    async def set_custom_balance(self, request: Request) -> Response:
        """Set "the balance of the account at a specific time"; no opening balance changes yet."""
        business, account = self._custom(request)
        post_balance(self._world, business, account, await self._json_object(request))
        return self._answer("Empty", {})

    async def recalculate(self, request: Request) -> Response:
        """Overwrite "the opening balance … based on the current balance and the transactions"."""
        business, account = self._custom(request)
        return self._opening_answer(account, recalculate(self._world, business, account))

    async def set_bank_opening(self, request: Request) -> Response:
        """Take `{effective_at, balance}` as Layer's own client sends it; no page shows this."""
        business = self._business(request)
        wanted = request.path_params["bank_account_id"]
        account = self._find(business, lambda one: one.bank_account_id == wanted)
        body = await self._json_object(request)
        opening = post_opening_balance(self._world, business, account, body)
        return self._opening_answer(account, opening)

    async def ledger_balances(self, request: Request) -> Response:
        """Answer the ledger tree over `start_date` (inclusive) to `end_date` (exclusive)."""
        business = self._business(request)
        accounts = ledger_balances(business, request.query_params, self._world)
        return json_response({"data": {"type": "Ledger_Balances", "accounts": accounts}})

    def _caller(self, request: Request) -> Caller:
        authorization, world = request.headers.get("authorization", ""), self._world
        caller = caller_of("layer", authorization, world.catalogue, world.tokens)
        if caller is None:
            raise self._refusal(401, "The access token is missing, invalid or expired")
        content_type = request.headers.get("content-type")
        # "Content-Type must be set to application/json", yet the samples leave it out on GET.
        if content_type is not None and media_type(content_type) != "application/json":
            raise self._refusal(415, "Content-Type must be set to application/json")
        return caller

    def _business(self, request: Request) -> LayerBusiness:
        tenant = self._caller(request).credential.tenant
        business = self._world.holdings.layer.get(request.path_params["business_id"])
        if business is None or business.tenant != tenant:
            raise self._not_found("business")
        return business

    def _external(self, request: Request) -> tuple[LayerBusiness, LayerAccount]:
        business = self._business(request)
        account = business.accounts.get(request.path_params["external_account_id"])
        if account is None:
            raise self._not_found("external account")
        return business, account

    def _custom(self, request: Request) -> tuple[LayerBusiness, LayerAccount]:
        business = self._business(request)
        wanted = request.path_params["custom_account_id"]
        return business, self._find(business, lambda one: one.custom_account_id == wanted)

    def _find(
        self, business: LayerBusiness, matches: Callable[[LayerAccount], bool]
    ) -> LayerAccount:
        for account in business.accounts.values():
            if matches(account):
                return account
        raise self._not_found("account")

    def _opening(self, account: LayerAccount) -> Opening:
        if account.book.opening is not None:
            return account.book.opening
        status = self._world.options.layer_no_opening_balance_status
        kind = "ResourceNotFound" if status == 404 else "BadRequest"
        message = "No opening balance found"
        raise self._refusal(status, message, kind=kind, error_enum="NoOpeningBalanceFound")

    async def _json_object(self, request: Request) -> dict[str, Any]:
        if media_type(request.headers.get("content-type", "")) != "application/json":
            raise self._refusal(415, "Content-Type must be set to application/json")
        try:
            body = parse_json(await request.body())
        except BadJSONError:
            body = None
        if not isinstance(body, dict):
            message = "Expected a JSON object"
            raise self._refusal(400, message, kind="JsonSerialization", error_enum="InvalidPayload")
        return body

    def _opening_answer(self, account: LayerAccount, opening: Opening) -> Response:
        return self._answer("Opening_Balance", opening_balance(account, opening))

    def _answer(self, kind: str, value: dict[str, Any] | list[dict[str, Any]]) -> Response:
        """An answer in the chosen envelope; lists stay lists in both."""
        if kind == "Empty":
            value = {"type": kind}
        if self._world.options.layer_envelope == "bare":
            return json_response(value)
        return json_response(
            {"data": value if isinstance(value, list) else {"type": kind, **value}}
        )

    def _not_found(self, what: str) -> errors.Refusal:
        return self._refusal(404, f"The {what} is not found", error_enum="SpecifiedIdNotFound")

    def _refusal(
        self, status: int, message: str, *, kind: str | None = None, error_enum: str | None = None
    ) -> errors.Refusal:
        options = self._world.options
        return errors.layer(options, status, message, kind=kind, error_enum=error_enum)

    async def _unknown_route(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._refusal(error.status_code, error.detail).response()

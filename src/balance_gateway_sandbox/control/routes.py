"""Serve the control API: clock, faults, options, request log, accounts, bank feeds and reset.

For tests and demos only. It requires no credentials.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, cast, get_args

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox.control.accounts import add_entry, describe_account, find_book
from balance_gateway_sandbox.control.feeds import change_feed
from balance_gateway_sandbox.http.faults import FaultRegistry
from balance_gateway_sandbox.http.middleware import ProviderMiddleware
from balance_gateway_sandbox.http.rate_limits import RateLimiter
from balance_gateway_sandbox.http.request_log import RequestLog
from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.seeding import build_seeded_records
from balance_gateway_sandbox.wire_format import (
    build_json_response,
    format_instant,
    parse_instant,
    parse_json,
)

OFFSET_MAX_S: Final = 60_000_000_000
"""Almost 2,000 years, so that shifted dates stay within the range of `datetime`."""


class ControlApi:
    """The control routes. Invalid requests get 400 or 404 with `{"error": …}`."""

    def __init__(
        self,
        *,
        state: SandboxState,
        request_log: RequestLog,
        limiter: RateLimiter,
        faults: FaultRegistry,
        initial: Options,
        middleware: Callable[[], ProviderMiddleware],
    ) -> None:
        self._state = state
        self._request_log = request_log
        self._limiter = limiter
        self._faults = faults
        self._initial = initial
        self._middleware = middleware

    def build_app(self) -> Starlette:
        """Build the control API as an ASGI app, to be mounted at `/_control`."""
        return Starlette(
            routes=[
                Route("/catalogue", self.get_catalogue, methods=["GET"]),
                Route("/clock", self.get_clock, methods=["GET"]),
                Route("/clock", self.put_clock, methods=["PUT"]),
                Route("/options", self.get_options, methods=["GET"]),
                Route("/options", self.put_options, methods=["PUT"]),
                Route("/faults", self.get_faults, methods=["GET"]),
                Route("/faults", self.add_fault, methods=["POST"]),
                Route("/faults", self.clear_faults, methods=["DELETE"]),
                Route("/faults/{fault_id:int}", self.remove_fault, methods=["DELETE"]),
                Route("/requests", self.get_requests, methods=["GET"]),
                Route("/requests", self.clear_requests, methods=["DELETE"]),
                Route("/tokens", self.revoke_tokens, methods=["DELETE"]),
                Route("/transactions", self.add_transaction, methods=["POST"]),
                Route("/feeds/{provider}/{account}", self.put_feed, methods=["PUT"]),
                Route("/state/{provider}/{account}", self.get_state, methods=["GET"]),
                Route("/reset", self.reset, methods=["POST"]),
            ],
            exception_handlers={ValueError: _handle_value_error, HTTPException: _handle_http_error},
        )

    async def get_catalogue(self, _: Request) -> Response:
        """Return all seeded accounts and credentials, including the fake secrets."""
        return build_json_response(asdict(self._state.catalogue))

    async def get_clock(self, _: Request) -> Response:
        """Return the sandbox's time."""
        return build_json_response({"now": format_instant(self._state.clock.now())})

    async def put_clock(self, request: Request) -> Response:
        """Pin the clock (`now`), shift it (`offset_s`) or reset it (`{}`)."""
        body, clock = await _read_json_object(request), self._state.clock
        if "now" in body:
            at = parse_instant(body["now"])
            if at is None:
                raise HTTPException(400, "now must be a date-time with a UTC offset")
            clock.pin(at)
        elif "offset_s" in body:
            clock.shift(_parse_offset(body["offset_s"]))
        else:
            clock.reset()
        return await self.get_clock(request)

    async def get_options(self, _: Request) -> Response:
        """Return all options."""
        return build_json_response(msgspec.to_builtins(self._state.options))

    async def put_options(self, request: Request) -> Response:
        """Change the given options and keep the others."""
        self._state.options = self._state.options.with_changes(await _read_json_object(request))
        return await self.get_options(request)

    async def get_faults(self, _: Request) -> Response:
        """Return the active faults."""
        return build_json_response({"faults": self._faults.list_views()})

    async def add_fault(self, request: Request) -> Response:
        """Add one fault and return it with its id."""
        fault = self._faults.add(await request.body())
        return build_json_response(fault.view(), 201)

    async def clear_faults(self, _: Request) -> Response:
        """Remove all faults."""
        self._faults.clear()
        return Response(status_code=204)

    async def remove_fault(self, request: Request) -> Response:
        """Remove one fault."""
        if not self._faults.remove(request.path_params["fault_id"]):
            fault_id = request.path_params["fault_id"]
            raise HTTPException(404, f"fault {fault_id} does not exist")
        return Response(status_code=204)

    async def get_requests(self, request: Request) -> Response:
        """Return the request log, filtered by `provider` and `credential`."""
        query = request.query_params
        return build_json_response(
            self._request_log.build_report(query.get("provider"), query.get("credential"))
        )

    async def clear_requests(self, _: Request) -> Response:
        """Clear the request log."""
        self._request_log.clear()
        return Response(status_code=204)

    async def revoke_tokens(self, _: Request) -> Response:
        """Revoke every Asset and Layer token."""
        return build_json_response({"revoked": self._state.tokens.revoke_all()})

    async def add_transaction(self, request: Request) -> Response:
        """Add an entry to an account's bank statement, its books or both."""
        return build_json_response(add_entry(self._state, await _read_json_object(request)), 201)

    async def put_feed(self, request: Request) -> Response:
        """Replace fields of an account's link to its bank, such as `last_synced_at`."""
        provider, account = request.path_params["provider"], request.path_params["account"]
        changes = await _read_json_object(request)
        return build_json_response(change_feed(self._state, provider, account, changes))

    async def get_state(self, request: Request) -> Response:
        """Return the stored state of one account. Faults do not apply."""
        provider, account = request.path_params["provider"], request.path_params["account"]
        if provider not in get_args(Provider):
            raise HTTPException(404, "provider must be light, asset or layer")
        return build_json_response(
            describe_account(find_book(self._state, cast("Provider", provider), account))
        )

    async def reset(self, _: Request) -> Response:
        """Restore accounts, options and clock. Clear faults, log, rate limits and late writes."""
        # A late write that ran after the restore would change the seeded state.
        self._middleware().cancel_late_writes()
        self._state.restore(build_seeded_records(self._state.seed))
        self._state.options = self._initial
        self._state.clock.reset()
        self._faults.clear()
        self._request_log.clear()
        self._limiter.reset()
        return Response(status_code=204)


def _parse_offset(seconds: object) -> timedelta:
    if not isinstance(seconds, int | Decimal) or not (-OFFSET_MAX_S <= seconds <= OFFSET_MAX_S):
        raise HTTPException(400, f"offset_s must be a number between ±{OFFSET_MAX_S} seconds")
    return timedelta(seconds=float(seconds))


async def _read_json_object(request: Request) -> dict[str, Any]:
    body = parse_json(await request.body())
    if not isinstance(body, dict):
        raise HTTPException(400, "the request body must be a JSON object")
    return body


async def _handle_value_error(_: Request, error: Exception) -> Response:
    return build_json_response({"error": str(error)}, 400)


async def _handle_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return build_json_response({"error": error.detail}, error.status_code)

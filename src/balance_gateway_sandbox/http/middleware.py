"""Log, rate-limit and inject faults into every provider request."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.http import transport
from balance_gateway_sandbox.http.distortions import distort_body
from balance_gateway_sandbox.http.faults import FaultRegistry, FaultSpec
from balance_gateway_sandbox.http.rate_limits import RateLimiter
from balance_gateway_sandbox.http.request_log import LoggedRequest, RequestLog, sanitize_body
from balance_gateway_sandbox.http.transport import CapturedResponse
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import authenticate
from balance_gateway_sandbox.wire_format import encode_json

BODY_BYTES_MAX: Final = 1_048_576
LATE_WRITES_MAX: Final = 1_000
_MOUNTS: Final[dict[str, Provider]] = {
    "light": "light",
    "asset": "asset",
    "layer": "layer",
    "layer-auth": "layer",
}
_BUSINESS: Final = re.compile(r"^/asset/v0/business/([^/]+)")


@dataclass(slots=True)
class _ProviderRequest:
    """A provider request that has been read and logged."""

    provider: Provider
    scope: Scope
    receive: Receive
    send: Send
    body: bytes
    record: LoggedRequest
    rate_headers: dict[str, str]


class ProviderMiddleware:
    """Wraps the application of all providers. Requests to `/_control` pass through unchanged.

    A fault that replaces the provider's response prevents the request's effect. Every other fault
    applies after the provider's code has run, so a write takes effect. A client that disconnects
    during a delay does not undo the effect.
    """

    def __init__(
        self,
        app: ASGIApp,
        state: SandboxState,
        request_log: RequestLog,
        limiter: RateLimiter,
        faults: FaultRegistry,
    ) -> None:
        self._app = app
        self._state = state
        self._request_log = request_log
        self._limiter = limiter
        self._faults = faults
        self._late_writes: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        provider = _MOUNTS.get(scope["path"].split("/")[1]) if scope["type"] == "http" else None
        if provider is None:
            await self._app(scope, receive, send)
            return
        request = await self._accept_request(provider, scope, receive, send)
        if request is None:
            return
        fault = self._faults.find_match(provider, scope["method"], scope["path"])
        if fault is None:
            await transport.send_response(await self._call_provider(request), send)
            return
        request.record.fault = fault.spec.kind
        await self._apply_fault(request, fault.spec)

    def cancel_late_writes(self) -> int:
        """Cancel the writes that have not run yet and return their number."""
        count = len(self._late_writes)
        for task in self._late_writes:
            task.cancel()
        return count

    async def _accept_request(
        self, provider: Provider, scope: Scope, receive: Receive, send: Send
    ) -> _ProviderRequest | None:
        """Read, log and rate-limit a request.

        Returns:
            The request, or None if it was already rejected (413, 429) or the client disconnected.
        """
        state, headers = self._state, Headers(scope=scope)
        try:
            body = await _read_body(receive)
        except ClientDisconnect:
            return None
        authorization = headers.get("authorization", "")
        caller = authenticate(provider, authorization, state.catalogue, state.tokens)
        record = self._request_log.add(
            at=state.clock.now(),
            provider=provider,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            credential=caller.credential.name if caller else None,
            body=sanitize_body(headers.get("content-type", ""), body or b""),
        )
        request = _ProviderRequest(provider, scope, receive, send, body or b"", record, {})
        if body is None:
            await transport.send_response(
                self._build_error(request, 413, "The body is too large"), send
            )
            return None
        if caller is not None:
            business = _BUSINESS.match(scope["path"])
            # Only known businesses are counted, so that made-up ids cannot fill the memory.
            known = business is not None and business[1] in state.records.asset
            business_id = business[1] if business is not None and known else None
            charge = self._limiter.charge(provider, caller.credential.name, business_id)
            request.rate_headers = charge.headers
            if charge.refused:
                await transport.send_response(
                    self._build_error(request, 429, "Too many requests"), send
                )
                return None
        return request

    async def _call_provider(self, request: _ProviderRequest) -> CapturedResponse:
        """Run the provider's code and capture its response."""
        request.record.handled = True
        response = await transport.capture_response(self._app, request.scope, request.body)
        response.add_headers(request.rate_headers)
        request.record.status = response.status
        return response

    async def _apply_fault(self, request: _ProviderRequest, spec: FaultSpec) -> None:
        if spec.kind == "late_landing":
            self._schedule_late_write(request, spec.delay_s)
            if spec.status is None:
                await transport.drop_connection(request.receive, request.send)
            else:
                await transport.send_response(
                    self._build_error(request, spec.status, "Timed out"), request.send
                )
            return
        await asyncio.sleep(spec.delay_s)
        replacement = self._build_replacement(request, spec)
        if spec.kind == "drop_before":
            await transport.drop_connection(request.receive, request.send)
            return
        if spec.kind == "endless_headers":
            await transport.send_endless_headers(request.receive, request.send, spec.bytes)
            return
        response = replacement if replacement is not None else await self._call_provider(request)
        _apply_header_changes(response, spec)
        await asyncio.sleep(spec.delay_after_s)
        await self._send_with_fault(request, spec, response)

    async def _send_with_fault(
        self, request: _ProviderRequest, spec: FaultSpec, response: CapturedResponse
    ) -> None:
        """Send a response in the way that the fault requires."""
        senders: dict[str, Callable[[], Awaitable[None]]] = {
            "drop_after": lambda: transport.drop_connection(request.receive, request.send),
            "truncated_body": lambda: transport.send_truncated(
                response, request.receive, request.send
            ),
            "slow_body": lambda: transport.send_slowly(response, request.send, spec.interval_s),
            "endless_body": lambda: transport.send_endless_body(response, request.send, spec.bytes),
        }
        if spec.kind == "drop_after":
            # The provider set a status, but the client receives none.
            request.record.status = None
        if spec.kind in senders:
            await senders[spec.kind]()
            return
        if spec.kind not in ("delay", "status", "redirect", "body", "error_body_200"):
            response.replace_body(distort_body(spec, response.body))
        await transport.send_response(response, request.send)

    def _build_replacement(
        self, request: _ProviderRequest, spec: FaultSpec
    ) -> CapturedResponse | None:
        """Build the response that replaces the provider's, or return None to call the provider."""
        if spec.kind == "status":
            assert spec.status is not None
            response = self._build_error(request, spec.status, "Scripted fault")
            if spec.body is not None:
                response.replace_body(spec.body.encode())
            return response
        if spec.kind == "error_body_200":
            response = self._build_error(request, 400, "Scripted fault")
            response.status = request.record.status = 200
            return response
        if spec.kind == "redirect":
            request.record.status = spec.status or 307
            headers = {"location": spec.location or "", "content-length": "0"}
            return CapturedResponse(request.record.status, headers)
        if spec.kind == "body":
            request.record.status = spec.status or 200
            response = CapturedResponse(request.record.status, {"content-type": spec.content_type})
            response.replace_body((spec.body or "").encode())
            return response
        return None

    def _build_error(
        self, request: _ProviderRequest, status: int, message: str
    ) -> CapturedResponse:
        """Build an error in the provider's format, with its rate-limit headers."""
        error = provider_errors.error_for_provider(
            request.provider, self._state.options, status, message
        )
        response = CapturedResponse(status, {"content-type": error.media_type})
        # HTTP forbids a body for these two statuses.
        response.replace_body(b"" if status in (204, 304) else encode_json(error.body))
        response.add_headers(request.rate_headers)
        request.record.status = status
        return response

    def _schedule_late_write(self, request: _ProviderRequest, delay_s: float) -> None:
        async def run_late_write() -> None:
            await asyncio.sleep(delay_s)
            status = request.record.status
            await self._call_provider(request)
            # The log shows the status that the client received, not that of the late write.
            request.record.status = status

        if len(self._late_writes) < LATE_WRITES_MAX:
            task = asyncio.create_task(run_late_write())
            self._late_writes.add(task)
            task.add_done_callback(self._late_writes.discard)


def _apply_header_changes(response: CapturedResponse, spec: FaultSpec) -> None:
    if spec.retry_after_s is not None:
        response.add_headers({"Retry-After": str(spec.retry_after_s)})
    removed = {name.lower() for name, value in spec.headers.items() if value is None}
    response.headers = {k: v for k, v in response.headers.items() if k.lower() not in removed}
    response.add_headers({k: v for k, v in spec.headers.items() if v is not None})


async def _read_body(receive: Receive) -> bytes | None:
    """Read the whole request body. Return None if it exceeds `BODY_BYTES_MAX`.

    Raises:
        ClientDisconnect: The client disconnected before it sent the whole body.
    """
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)

"""The outermost layer: every provider request is read, logged, charged and perhaps spoilt here."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from balance_gateway_sandbox import provider_errors as errors
from balance_gateway_sandbox.http import transport
from balance_gateway_sandbox.http.distortions import distort
from balance_gateway_sandbox.http.faults import Faults, FaultSpec
from balance_gateway_sandbox.http.rate_limits import RateLimits
from balance_gateway_sandbox.http.request_log import Journal, Record, loggable
from balance_gateway_sandbox.http.transport import Answer
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.sandbox_state import World
from balance_gateway_sandbox.state.tokens import caller_of
from balance_gateway_sandbox.wire_format import encode

BODY_BYTES_MAX: Final = 1_048_576
LATE_MAX: Final = 1_000
_MOUNTS: Final[dict[str, Provider]] = {
    "light": "light",
    "asset": "asset",
    "layer": "layer",
    "layer-auth": "layer",
}
_BUSINESS: Final = re.compile(r"^/asset/v0/business/([^/]+)")


@dataclass(slots=True)
class _Call:
    """One request on its way through."""

    provider: Provider
    scope: Scope
    receive: Receive
    send: Send
    body: bytes
    record: Record
    rate_headers: dict[str, str]


class Exchange:
    """Wraps the providers' app; `/_control` passes through untouched.

    A fault that answers in the provider's place leaves no effect; all others strike after the
    provider's own code has run. A client that gives up during a delay does not undo the effect.
    """

    def __init__(
        self, app: ASGIApp, world: World, journal: Journal, limits: RateLimits, faults: Faults
    ) -> None:
        self._app = app
        self._world = world
        self._journal = journal
        self._limits = limits
        self._faults = faults
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        provider = _MOUNTS.get(scope["path"].split("/")[1]) if scope["type"] == "http" else None
        if provider is None:
            await self._app(scope, receive, send)
            return
        call = await self._open(provider, scope, receive, send)
        if call is None:
            return
        fault = self._faults.match(provider, scope["method"], scope["path"])
        if fault is None:
            await transport.send_answer(await self._handle(call), send)
            return
        call.record.fault = fault.spec.kind
        await self._spoil(call, fault.spec)

    def cancel_late(self) -> int:
        """Forget the writes that have not landed yet; returns how many there were."""
        count = len(self._late)
        for task in self._late:
            task.cancel()
        return count

    async def _open(
        self, provider: Provider, scope: Scope, receive: Receive, send: Send
    ) -> _Call | None:
        """Read, log and charge a request; None when it is answered (413, 429) or was cut off."""
        world, headers = self._world, Headers(scope=scope)
        try:
            body = await _read(receive)
        except ClientDisconnect:
            return None
        authorization = headers.get("authorization", "")
        caller = caller_of(provider, authorization, world.catalogue, world.tokens)
        record = self._journal.add(
            at=world.clock.now(),
            provider=provider,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            credential=caller.credential.name if caller else None,
            body=loggable(headers.get("content-type", ""), body or b""),
        )
        call = _Call(provider, scope, receive, send, body or b"", record, {})
        if body is None:
            await transport.send_answer(self._error(call, 413, "The body is too large"), send)
            return None
        if caller is not None:
            business = _BUSINESS.match(scope["path"])
            known = business is not None and business[1] in world.holdings.asset
            business_id = business[1] if business is not None and known else None
            charge = self._limits.charge(provider, caller.credential.name, business_id)
            call.rate_headers = charge.headers
            if charge.refused:
                await transport.send_answer(self._error(call, 429, "Too many requests"), send)
                return None
        return call

    async def _handle(self, call: _Call) -> Answer:
        """Let the provider's own code answer."""
        call.record.handled = True
        answer = await transport.capture(self._app, call.scope, call.body)
        answer.add_headers(call.rate_headers)
        call.record.status = answer.status
        return answer

    async def _spoil(self, call: _Call, spec: FaultSpec) -> None:
        if spec.kind == "late_landing":
            self._land_later(call, spec.delay_s)
            if spec.status is None:
                await transport.drop(call.receive, call.send)
            else:
                await transport.send_answer(self._error(call, spec.status, "Timed out"), call.send)
            return
        await asyncio.sleep(spec.delay_s)
        instead = self._instead(call, spec)
        if spec.kind == "drop_before":
            await transport.drop(call.receive, call.send)
            return
        if spec.kind == "endless_headers":
            await transport.send_endless_headers(call.receive, call.send, spec.bytes)
            return
        answer = instead if instead is not None else await self._handle(call)
        _add_asked_headers(answer, spec)
        await asyncio.sleep(spec.delay_after_s)
        await self._deliver(call, spec, answer)

    async def _deliver(self, call: _Call, spec: FaultSpec, answer: Answer) -> None:
        """Send an answer the way the fault wants it sent."""
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "drop_after": lambda: transport.drop(call.receive, call.send),
            "truncated_body": lambda: transport.send_truncated(answer, call.receive, call.send),
            "slow_body": lambda: transport.send_slowly(answer, call.send, spec.interval_s),
            "endless_body": lambda: transport.send_endless_body(answer, call.send, spec.bytes),
        }
        if spec.kind == "drop_after":
            call.record.status = None
        if spec.kind in ways:
            await ways[spec.kind]()
            return
        if spec.kind not in ("delay", "status", "redirect", "body", "error_body_200"):
            answer.replace_body(distort(spec, answer.body))
        await transport.send_answer(answer, call.send)

    def _instead(self, call: _Call, spec: FaultSpec) -> Answer | None:
        """The answer given in the provider's place; None when the provider is to answer."""
        if spec.kind == "status":
            assert spec.status is not None
            answer = self._error(call, spec.status, "Scripted fault")
            if spec.body is not None:
                answer.replace_body(spec.body.encode())
            return answer
        if spec.kind == "error_body_200":
            answer = self._error(call, 400, "Scripted fault")
            answer.status = call.record.status = 200
            return answer
        if spec.kind == "redirect":
            call.record.status = spec.status or 307
            headers = {"location": spec.location or "", "content-length": "0"}
            return Answer(call.record.status, headers)
        if spec.kind == "body":
            call.record.status = spec.status or 200
            answer = Answer(call.record.status, {"content-type": spec.content_type})
            answer.replace_body((spec.body or "").encode())
            return answer
        return None

    def _error(self, call: _Call, status: int, message: str) -> Answer:
        """An answer of any status in the provider's own error shape, with its rate headers."""
        refusal = errors.refusal(call.provider, self._world.options, status, message)
        answer = Answer(status, {"content-type": refusal.media_type})
        answer.replace_body(b"" if status in (204, 304) else encode(refusal.body))
        answer.add_headers(call.rate_headers)
        call.record.status = status
        return answer

    def _land_later(self, call: _Call, delay_s: float) -> None:
        async def land() -> None:
            await asyncio.sleep(delay_s)
            status = call.record.status
            await self._handle(call)
            call.record.status = status

        if len(self._late) < LATE_MAX:
            task = asyncio.create_task(land())
            self._late.add(task)
            task.add_done_callback(self._late.discard)


def _add_asked_headers(answer: Answer, spec: FaultSpec) -> None:
    if spec.retry_after_s is not None:
        answer.add_headers({"Retry-After": str(spec.retry_after_s)})
    removed = {name.lower() for name, value in spec.headers.items() if value is None}
    answer.headers = {k: v for k, v in answer.headers.items() if k.lower() not in removed}
    answer.add_headers({k: v for k, v in spec.headers.items() if v is not None})


async def _read(receive: Receive) -> bytes | None:
    """The request's whole body; None when it is larger than `BODY_BYTES_MAX`.

    Raises:
        ClientDisconnect: the client hung up before it had sent all of it.
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

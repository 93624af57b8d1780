"""Speaks HTTP for one connector: address, credentials, deadline, bounds, redirects, JSON.

A call ends in a ``ProviderResponse`` of any status, or in an error of our tree. It never ends in
bytes of unknown size, in a wait beyond the deadline, or in a second sending of a write that may have been
taken: a write is sent again only after an answer that says it was not done (401, 307, 308).

httpx's client is passed by on purpose: its cookies, its redirects and its environment proxies
would all have to be switched off, and its work per call is most of a call's cost. Transports and
their errors are httpx's own; how a request travels is ``wire``'s.
"""

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx

from balance_gateway import __version__
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from balance_gateway.ports.call_context import (
    current_call,
)
from balance_gateway.ports.provider_call import (
    CallGate,
    OnCall,
)
from balance_gateway.providers.authorization import Authorization
from balance_gateway.providers.body import decode_json
from balance_gateway.providers.errors import (
    Operation,
    ProviderResponse,
    bad_response,
    translate_transport_error,
)
from balance_gateway.providers.exchange import Exchange, ExchangeResult, build_path, build_query
from balance_gateway.providers.http_wire import (
    Address,
    Headers,
    HttpxWire,
    PoolWire,
    Wire,
    parse_address,
)
from balance_gateway.providers.json_fields import WrongShape
from balance_gateway.providers.redirects import (
    NOT_HERE,
    REDIRECTS,
    REDIRECTS_MAX,
    redirect_target,
)
from balance_gateway.transport import HttptoolsTransport
from balance_gateway.transport.errors import Sent, get_sent

BODY_BYTES_MAX = 8 * 1024 * 1024
TIMEOUT_S = 10.0

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class ProviderHTTP:
    """One connector's HTTP. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        connector: str,
        kind: ProviderKind,
        base_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        redirect_hosts: Collection[str] = (),
        content_type: str = _JSON,
        body_bytes_max: int = BODY_BYTES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        on_call: OnCall | None = None,
        gate: CallGate | None = None,
    ) -> None:
        """Takes what a connector is configured with; connects to nothing yet.

        Args:
            connector: its name.
            kind: the provider's kind.
            base_url: http or https, host, and a path that every call's path is put behind.
            timeout_s: for a whole call, redirects and token included, in seconds.
            redirect_hosts: see ``redirects``.
            content_type: sent with every call, also with reads, as Layer wants it.
            body_bytes_max: for an answer's body, inflated.
            transport: closed with this object. It has to send writes on fresh connections, as
                ``HttptoolsTransport`` does: on a kept one a refusal cannot be told from a loss.
            on_call: told of every exchange.
            gate: entered around every exchange.

        Raises:
            ValueError: the base_url is none.
        """
        url = httpx.URL(base_url)
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query:
            raise ValueError("base_url has to be http:// or https:// with a host and no user")
        self.connector = connector
        self._kind = kind
        self._base_url = base_url.rstrip("/")
        self._base = parse_address(self._base_url)
        self._prefix = self._base.target.rstrip("/")
        self._timeout_s = timeout_s
        self._redirect_hosts = frozenset(host.lower() for host in redirect_hosts)
        self._content_type = content_type
        self._wire = _wire_of(
            transport if transport is not None else HttptoolsTransport(), body_bytes_max
        )
        self._on_call = on_call
        self._gate = gate
        self._authorization: Authorization | None = None
        self._last_headers: tuple[tuple[str, str | None], Headers] | None = None

    @property
    def base_url(self) -> str:
        """Without a slash at its end."""
        return self._base_url

    def authorize_with(self, authorization: Authorization) -> None:
        """Sets what ``send`` proves itself with; closed with this object."""
        self._authorization = authorization

    async def send(
        self,
        operation: str,
        method: str,
        *segments: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        empty_ok: bool = False,
    ) -> ProviderResponse:
        """One call, everything but GET being a write.

        Args:
            operation: for messages, metrics and logs: "balance read".
            method: GET, PUT or POST.
            segments: of the path; each is quoted as a whole.
            query: sent as given.
            body: sent as JSON; None for no body.
            empty_ok: whether an answer of 2xx may have no body.

        Raises:
            ProviderError: no answer came, or one of 2xx that is not JSON.
            GatewayError: what the gate raised.
        """
        if (write := current_call().send_status) is not None:
            write.mark_waiting()
        target = self._prefix + build_path(segments) + build_query(query)
        address = Address(self._base.origin, target)
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        about = Operation(self._kind.name, operation, write=method != "GET")
        exchange = Exchange(about, method, content, self._content_type, self._timeout_s, empty_ok)
        answer = None
        for is_last in (False, True):
            header = await self._authorized(exchange)
            answer = await self._follow(exchange, address, header)
            if header is None or self._authorization is None:
                break
            if is_last:
                self._authorization.renewed(header, in_vain=answer.status == 401)
            elif answer.status != 401 or not self._authorization.reject(header):
                break
        assert answer is not None
        return answer

    async def send_form(
        self, operation: str, url: str, form: Mapping[str, str], authorization: str | None = None
    ) -> ProviderResponse:
        """A form for a token endpoint. It changes nothing, and is never redirected."""
        about = Operation(self._kind.name, operation)
        exchange = Exchange(about, "POST", urlencode(form).encode(), _FORM, self._timeout_s)
        return await self._exchange(exchange, parse_address(url), authorization)

    async def aclose(self) -> None:
        """Closes connections and ends a token's renewal."""
        if self._authorization is not None:
            await self._authorization.aclose()
        await self._wire.aclose()

    async def _authorized(self, exchange: Exchange) -> str | None:
        if self._authorization is None:
            return None
        header = self._authorization.ready()
        if header is not None:
            return header
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, exchange.left_s)):
                return await self._authorization.header()
        except TimeoutError as error:
            # Nothing of this call has left, or its last sending was refused with 401.
            about = Operation(self._kind.name, exchange.about.name)
            raise translate_transport_error(about, error, self._timeout_s) from error
        finally:
            exchange.left_s -= time.monotonic() - started

    async def _follow(
        self, exchange: Exchange, address: Address, header: str | None
    ) -> ProviderResponse:
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._exchange(exchange, address, header)
            if answer.status not in REDIRECTS:
                return answer
            not_here = answer.status in NOT_HERE
            about = exchange.about
            if about.write and not not_here:
                raise bad_response(about, f"it redirects a write with HTTP {answer.status}")
            try:
                location = answer.headers.get("location")
                there = redirect_target(address.url, location, self._redirect_hosts)
            except WrongShape as error:
                raise bad_response(about, str(error), maybe_applied=False) from None
            address = parse_address(there)
        what = f"it redirects more than {REDIRECTS_MAX} times"
        raise bad_response(exchange.about, what, maybe_applied=False)

    async def _exchange(
        self, exchange: Exchange, address: Address, header: str | None
    ) -> ProviderResponse:
        """One real HTTP exchange."""
        slot: AbstractAsyncContextManager[None] = nullcontext()
        if self._gate is not None:
            slot = self._gate.slot(write=exchange.about.write)
            exchange.before_repeat = self._gate.count_resend
        async with slot:
            seen = ExchangeResult()
            started = time.monotonic()
            try:
                return await self._answer(exchange, address, header, seen)
            except asyncio.CancelledError:
                if seen.outcome == "cancelled" and _had_time(time.monotonic() - started):
                    seen.outcome = ProviderTimeout.code
                raise
            except (TimeoutError, httpx.HTTPError, httpx.StreamError, OSError) as error:
                failure = self._failed(exchange, seen, error)
                if isinstance(failure, ProviderResponse):
                    return failure
                seen.outcome = failure.code
                raise failure from error
            except RuntimeError as error:
                if get_sent(error) is not Sent.NEVER:
                    raise
                seen.outcome = ProviderUnavailable.code
                raise translate_transport_error(exchange.about, error, self._timeout_s) from error
            except GatewayError as error:
                seen.outcome = error.code
                raise
            finally:
                duration_s = time.monotonic() - started
                exchange.left_s -= duration_s
                if self._on_call is not None:
                    about = exchange.about
                    self._on_call(seen.call(self.connector, self._kind, about, duration_s))

    async def _answer(
        self, exchange: Exchange, address: Address, header: str | None, seen: ExchangeResult
    ) -> ProviderResponse:
        headers = self._headers(exchange.content_type, header)
        body = None
        if exchange.about.write and (write := current_call().send_status) is not None:
            # From here on bytes may leave; how far they came, the wire's error tells.
            write.sent = True
        try:
            raw = await self._wire.exchange(exchange, address, headers, seen)
            if raw or not exchange.empty_ok:
                body = decode_json(raw)
        except WrongShape as error:
            if seen.outcome == "ok":
                raise bad_response(exchange.about, str(error)) from None
        assert seen.status is not None
        return ProviderResponse(exchange.about, seen.status, seen.headers, body)

    def _headers(self, content_type: str, authorization: str | None) -> Headers:
        """The request's headers: the same object as long as they are the same."""
        key = (content_type, authorization)
        if self._last_headers is not None and self._last_headers[0] == key:
            return self._last_headers[1]
        headers = [
            (b"Accept", _JSON.encode()),
            (b"Accept-Encoding", b"gzip, deflate"),
            (b"User-Agent", f"balance-gateway/{__version__}".encode()),
            (b"Content-Type", content_type.encode()),
        ]
        if authorization is not None:
            headers.append((b"Authorization", authorization.encode("ascii")))
        self._last_headers = key, tuple(headers)
        return self._last_headers[1]

    def _failed(
        self, exchange: Exchange, seen: ExchangeResult, error: Exception
    ) -> ProviderError | ProviderResponse:
        """The error for a lost exchange; a refusal whose body was lost is still a refusal."""
        if seen.status is not None and seen.status >= 400:
            return ProviderResponse(exchange.about, seen.status, seen.headers, None)
        return translate_transport_error(exchange.about, error, self._timeout_s)


def _had_time(duration_s: float) -> bool:
    """Whether an exchange that was cut off had most of the time that its read may take.

    Then it is the provider that is slow. One that was cut off early had waited for its place, or
    its caller went away.
    """
    allowed_s = current_call().read_timeout_s
    return allowed_s is not None and duration_s >= allowed_s / 2


def _wire_of(transport: httpx.AsyncBaseTransport, body_bytes_max: int) -> Wire:
    if isinstance(transport, HttptoolsTransport):
        return PoolWire(transport, body_bytes_max)
    return HttpxWire(transport, body_bytes_max)


def reading(answer: ProviderResponse) -> AbstractContextManager[None]:
    """Turns a WrongShape of what is read inside into the error for an unusable answer."""
    return _Reading(answer.operation)


class _Reading:
    """A class, since a generator as a context manager costs more than the reading."""

    __slots__ = ("_operation",)

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, WrongShape):
            raise bad_response(self._operation, str(error)) from None

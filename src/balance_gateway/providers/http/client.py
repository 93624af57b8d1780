"""Send one connector's HTTP calls: address, credentials, deadline, limits, redirects, JSON.

A call returns a ``ProviderResponse`` with any status, or raises a ``GatewayError``. Body size and
time are bounded. A write is resent only after a response that proves that it was not processed
(401, 307, 308).
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
)
from balance_gateway.ports.call_context import current_call
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.provider_call import CallGate, CallSlot, OnCall
from balance_gateway.providers.http.authorization import Authorization
from balance_gateway.providers.http.begun_read import BegunRead, find_destination
from balance_gateway.providers.http.body import decode_json
from balance_gateway.providers.http.errors import (
    Operation,
    ProviderResponse,
    build_bad_response,
    build_read_operation,
    translate_transport_error,
)
from balance_gateway.providers.http.exchange import (
    Exchange,
    ExchangeResult,
    FirstRequest,
    build_path,
    build_query,
)
from balance_gateway.providers.http.http_wire import (
    RequestHeaders,
    build_timeouts,
    parse_base_url,
    receive,
)
from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.providers.http.redirects import (
    NOT_PROCESSED_STATUSES,
    REDIRECT_STATUSES,
    REDIRECTS_MAX,
    resolve_redirect,
)
from balance_gateway.transport import URL, PooledTransport, Transport, TransportError, parse_url

TIMEOUT_S = 10.0

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class ProviderHTTP:
    """HTTP client of one connector. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        connector: str,
        kind: ProviderKind,
        base_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        redirect_hosts: Collection[str] = (),
        content_type: str = _JSON,
        transport: Transport | None = None,
        on_call: OnCall | None = None,
        gate: CallGate | None = None,
    ) -> None:
        """Store the settings; no connection is opened.

        Args:
            connector: Name of the connector.
            kind: The provider's kind.
            base_url: http or https URL with a host; its path is the prefix of every call's path.
            timeout_s: Time limit for a whole call in seconds, redirects and token included.
            redirect_hosts: Hosts that redirects may lead to, see ``redirects``.
            content_type: Sent with every call, also with reads, because Layer requires it.
            transport: Sends the requests and is closed with this object; None for a new
                ``PooledTransport``.
            on_call: Called with the record of every exchange; None for no observer.
            gate: Entered around every exchange; None for no limits.

        Raises:
            ValueError: ``base_url`` is not valid.
        """
        self.connector = connector
        self._kind = kind
        self._base_url = base_url.rstrip("/")
        self._base = parse_base_url(self._base_url)
        self._prefix = self._base.target.rstrip("/")
        self._timeout_s = timeout_s
        self._redirect_hosts = frozenset(host.lower() for host in redirect_hosts)
        self._content_type = content_type
        self._transport = transport if transport is not None else PooledTransport()
        self._on_call = on_call
        self._gate = gate
        self._destination = find_destination(
            connector, kind, self._base.origin, self._transport, timeout_s, on_call
        )
        self._authorization: Authorization | None = None
        self._headers = RequestHeaders()

    @property
    def base_url(self) -> str:
        """The base URL without a trailing slash."""
        return self._base_url

    def authorize_with(self, authorization: Authorization) -> None:
        """Set the credentials of ``send``; they are closed with this object."""
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
        """Send one call; every method except GET is a write.

        Args:
            operation: Name of the operation for messages, metrics and logs: "balance read".
            method: GET, PUT or POST.
            segments: Path segments; each is quoted as a whole.
            query: Query parameters, in order.
            body: Sent as JSON; None for no body.
            empty_ok: Whether a 2xx response may have an empty body.

        Returns:
            The response after redirects, with any status.

        Raises:
            ProviderError: No response arrived, or a 2xx response is not JSON.
            GatewayError: The call gate refused the exchange.
        """
        if (write := current_call().send_status) is not None:
            write.mark_waiting()
        path = build_path(segments)
        if (evidence := current_evidence()) is not None:
            evidence.add_call(operation, method, path, query or {})
        url = self._base.with_target(self._prefix + path + build_query(query))
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        exchange = Exchange(
            Operation(self._kind.name, operation, write=method != "GET"),
            method,
            content,
            self._content_type,
            self._timeout_s,
            empty_ok,
        )
        return await self._complete(exchange, url)

    def begin_read(
        self,
        operation: str,
        *segments: str,
        query: Mapping[str, str],
        within_s: float,
        on_end: Callable[[BegunRead], None],
    ) -> BegunRead | None:
        """Send a GET if a token, a slot, the rate limit and a connection need no wait.

        Args:
            operation: See ``send``.
            segments: See ``send``.
            query: See ``send``.
            within_s: Seconds that the caller waits; a call may not take longer.
            on_end: Called once the response or an error has arrived.

        Returns:
            The read; None when nothing was sent or counted, and ``send`` does it all.
        """
        header = None if self._authorization is None else self._authorization.cached_header()
        if header is None or self._gate is None or self._destination is None:
            return None
        destination = self._destination
        if self._timeout_s > within_s or not destination.transport.has_idle(destination.origin):
            return None
        slot = self._gate.try_enter()
        if slot is None:
            return None
        target = self._prefix + build_path(segments) + build_query(query)
        name = build_read_operation(self._kind, operation)
        begun = BegunRead(destination, name, target, header, slot, on_end)
        begun.send(self._headers.build(self._content_type, header))
        return begun

    async def finish_read(self, begun: BegunRead) -> ProviderResponse:
        """Return the response to a begun read that has ended, as ``send`` would."""
        begun.is_over = True
        exchange = Exchange(begun.operation, "GET", b"", self._content_type, self._timeout_s)
        exchange.begun = begun
        if self._gate is not None:
            exchange.before_repeat = self._gate.count_resend
        return await self._complete(exchange, self._base.with_target(begun.target))

    async def _complete(self, exchange: Exchange, url: URL) -> ProviderResponse:
        """Send an exchange, and once more with a new token after a 401."""
        response = None
        for is_last in (False, True):
            header = await self._get_authorization_header(exchange)
            response = await self._follow_redirects(exchange, url, header)
            if header is None or self._authorization is None:
                break
            if is_last:
                self._authorization.record_renewal(header, rejected=response.status == 401)
            elif response.status != 401 or not self._authorization.reject(header):
                break
        assert response is not None
        return response

    async def send_form(
        self, operation: str, url: str, form: Mapping[str, str], authorization: str | None = None
    ) -> ProviderResponse:
        """Send a form to a token endpoint. It counts as a read and follows no redirect.

        Args:
            operation: Name of the operation for messages, metrics and logs.
            url: Absolute URL of the endpoint.
            form: Fields of the form.
            authorization: Value of the ``Authorization`` header; None for no header.
        """
        exchange = Exchange(
            Operation(self._kind.name, operation, is_token_request=True),
            "POST",
            urlencode(form).encode(),
            _FORM,
            self._timeout_s,
        )
        return await self._send_exchange(exchange, parse_url(url), authorization)

    async def aclose(self) -> None:
        """Cancel a running token renewal and close all connections."""
        if self._authorization is not None:
            await self._authorization.aclose()
        await self._transport.aclose()

    async def _get_authorization_header(self, exchange: Exchange) -> str | None:
        if exchange.begun is not None:
            return exchange.begun.header
        if self._authorization is None:
            return None
        header = self._authorization.cached_header()
        if header is not None:
            return header
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, exchange.left_s)):
                return await self._authorization.get_header()
        except TimeoutError as error:
            # Reported as a read, so not as "maybe applied": nothing of this call has been sent, or
            # its last attempt was refused with 401.
            operation = Operation(self._kind.name, exchange.operation.name)
            raise translate_transport_error(operation, error, self._timeout_s) from error
        finally:
            exchange.left_s -= time.monotonic() - started

    async def _follow_redirects(
        self, exchange: Exchange, url: URL, header: str | None
    ) -> ProviderResponse:
        operation = exchange.operation
        for _ in range(REDIRECTS_MAX + 1):
            response = await self._send_exchange(exchange, url, header)
            if response.status not in REDIRECT_STATUSES:
                return response
            if operation.write and response.status not in NOT_PROCESSED_STATUSES:
                # 301, 302 and 303 may mean that the write was processed: it is not resent.
                problem = f"it redirects a write with HTTP {response.status}"
                raise build_bad_response(operation, problem)
            try:
                location = response.headers.get("location")
                url = resolve_redirect(url, location, self._redirect_hosts)
            except MalformedResponse as error:
                raise build_bad_response(operation, str(error), maybe_applied=False) from None
        problem = f"it redirects more than {REDIRECTS_MAX} times"
        raise build_bad_response(operation, problem, maybe_applied=False)

    async def _send_exchange(
        self, exchange: Exchange, url: URL, header: str | None
    ) -> ProviderResponse:
        """Send one exchange through the call gate and report it to the observer."""
        slot: AbstractAsyncContextManager[None] | CallSlot = nullcontext()
        begun, exchange.begun = exchange.begun, None
        if begun is not None:
            slot = begun.slot
        elif self._gate is not None:
            slot = self._gate.slot(write=exchange.operation.write)
            exchange.before_repeat = self._gate.count_resend
        async with slot:
            result = ExchangeResult()
            # Started inside of the slot: waiting for it does not count against the time limit.
            started = time.monotonic() if begun is None else begun.started_s
            try:
                return await self._transmit(exchange, url, header, result, begun)
            except asyncio.CancelledError:
                result.record_cancellation(time.monotonic() - started)
                raise
            except TransportError as error:
                failure = self._build_failure(exchange, result, error)
                if isinstance(failure, ProviderResponse):
                    return failure
                result.outcome = failure.code
                raise failure from error
            except GatewayError as error:
                result.outcome = error.code
                raise
            finally:
                duration_s = time.monotonic() - started
                exchange.left_s -= duration_s
                if self._on_call is not None:
                    self._on_call(
                        result.build_provider_call(
                            self.connector, self._kind, exchange.operation, duration_s
                        )
                    )

    async def _transmit(
        self,
        exchange: Exchange,
        url: URL,
        header: str | None,
        result: ExchangeResult,
        begun: FirstRequest | None,
    ) -> ProviderResponse:
        body = None
        if exchange.operation.write and (write := current_call().send_status) is not None:
            # From here on bytes may be sent; the transport's error says whether any were.
            write.sent = True
        try:
            if begun is None:
                sending = self._transport.exchange(
                    url.origin,
                    exchange.method,
                    url.target,
                    self._headers.build(exchange.content_type, header),
                    exchange.content,
                    timeouts=build_timeouts(exchange),
                    before_repeat=exchange.before_repeat,
                )
            else:
                sending = begun.finish(exchange.before_repeat)
            raw = await receive(sending, result)
            if raw or not exchange.empty_ok:
                body = decode_json(raw, keeps_literals=current_evidence() is not None)
        except MalformedResponse as error:
            # An unreadable error body does not matter: the status alone decides.
            if result.outcome == "ok":
                raise build_bad_response(exchange.operation, str(error)) from None
        assert result.status is not None
        return ProviderResponse(exchange.operation, result.status, result.headers, body)

    def _build_failure(
        self, exchange: Exchange, result: ExchangeResult, error: TransportError
    ) -> ProviderError | ProviderResponse:
        """Build the error for a failed exchange, or the response if its status decides alone."""
        # A refusal remains a refusal even if its body was lost.
        if result.status is not None and result.status >= 400:
            return ProviderResponse(exchange.operation, result.status, result.headers, None)
        return translate_transport_error(exchange.operation, error, self._timeout_s)


def parsing_response(response: ProviderResponse) -> AbstractContextManager[None]:
    """Return a context that turns ``MalformedResponse`` into ``ProviderBadResponse``."""
    return _ParsingContext(response.operation)


class _ParsingContext:
    # A class, because a generator-based context manager costs more than the parsing inside of it.

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
        if isinstance(error, MalformedResponse):
            raise build_bad_response(self._operation, str(error)) from None

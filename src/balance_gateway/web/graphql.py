"""Serve /graphql: GraphQL over HTTP, as a plain ASGI application.

Every request needs a bearer token, GET and introspection included; ``auth`` explains how that also
protects against cross-site requests. Under ``application/json`` the status of a well-formed request
is always 200; under ``application/graphql-response+json`` that of a refused one is 400, and that of
one with data and errors is 294.
When a client disconnects, the reads of its request are cancelled; a write that has begun is not.
"""

import asyncio
import itertools
import re
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from balance_gateway.api.execution.engine import (
    GraphQLRequest,
    GraphQLResponse,
    Operation,
    build_refusal_response,
)
from balance_gateway.api.request.context import Caller
from balance_gateway.api.schema.errors import RequestRefused, build_internal_message, log_defect
from balance_gateway.domain.errors import ErrorCode, Unauthenticated
from balance_gateway.server.direct_response import encode_head, write_directly
from balance_gateway.web.auth import Authenticator, parse_bearer_token
from balance_gateway.web.load_shedding import LoadLimits, LoadShedder
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, JSON, is_json, negotiate
from balance_gateway.web.request_parsing import (
    BadRequest,
    ClientDisconnected,
    parse_body,
    parse_query_string,
    read_body,
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Headers = tuple[tuple[bytes, bytes], ...]


class GraphQLEngine(Protocol):
    """Executes operations: ``api.execution.engine.Engine``, or a faster implementation."""

    def prepare(self, request: GraphQLRequest) -> Operation:
        """Parse and validate a request.

        Raises:
            RequestRefused: the request is invalid or exceeds a limit.
        """
        ...

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return the kept response to a byte-identical request while it is valid, else None."""
        ...

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """Return the response to a read if all of its data is cached, else None.

        Args:
            operation: a query.
            caller: the caller.
            body: the bytes of the request, under which ``cached_response`` finds the response
                later; None if the response must not be kept.
        """
        ...

    async def execute(
        self, operation: Operation, caller: Caller, body: bytes | None = None
    ) -> GraphQLResponse:
        """Execute an operation; raises nothing but cancellation and defects.

        Args:
            operation: the operation.
            caller: the caller.
            body: as for ``try_cached``.
        """
        ...


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Limits of the endpoint.

    Attributes:
        body_bytes: the maximum size of a request's body.
        load: the limits of concurrent requests; others get a 503 before any work is done.
    """

    body_bytes: int = 1_048_576
    load: LoadLimits = field(default_factory=LoadLimits)


class GraphQLEndpoint:
    """The endpoint as an ASGI application.

    Args:
        engine: executes operations.
        authenticator: verifies credentials.
        limits: the endpoint's limits.
        on_rejection: called for every request that load shedding rejects.
    """

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticator: Authenticator,
        limits: EndpointLimits | None = None,
        on_rejection: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._limits = limits or EndpointLimits()
        self.load_shedder = LoadShedder(self._limits.load, on_rejection)
        self._mutations: set[asyncio.Task[GraphQLResponse]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = headers_by_name(scope["headers"])
        request_id = _choose_request_id(headers.get(b"x-request-id"))
        media_type = negotiate(_decode_header(headers.get(b"accept")))
        extra_headers: Headers = ()
        try:
            response = await self._handle(scope, headers, receive, media_type, request_id)
            is_strict = media_type == GRAPHQL_RESPONSE
            status = response.status if is_strict else response.json_status
            body = response.body
        except BadRequest as bad:
            status, extra_headers = bad.status, bad.headers
            body = _encode_error(bad.message, bad.code)
        except Unauthenticated as error:
            status, extra_headers = 401, ((b"www-authenticate", b"Bearer"),)
            body = _encode_error(error.message, error.code)
        except ClientDisconnected:
            return
        except Exception as defect:
            log_defect(defect, request_id)
            status = 500
            body = _encode_error(build_internal_message(request_id), ErrorCode.INTERNAL)
        await _send(send, status, body, media_type or JSON, request_id, extra_headers)

    async def drain(self) -> None:
        """Wait for every mutation that has begun, also those of disconnected clients."""
        self.load_shedder.close()
        while self._mutations:
            await asyncio.wait(self._mutations)

    async def _handle(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        media_type: str | None,
        request_id: str,
    ) -> GraphQLResponse:
        # Measured here, since later the time that the caller or an issuer takes would count too.
        waited_s = _compute_waited_s(scope)
        method: str = scope["method"]
        if method not in ("GET", "POST"):
            raise BadRequest(405, "The method must be GET or POST.", ((b"allow", b"GET, POST"),))
        principal = await self._authenticator.authenticate(
            parse_bearer_token(headers.get(b"authorization"))
        )
        if media_type is None:
            raise BadRequest(406, f"Accept must allow {JSON} or {GRAPHQL_RESPONSE}.")
        caller = Caller(principal, request_id)
        body = await self._read_body(method, headers, receive)
        # Parsing the body first would cost too much. A read that contains the word counts as a
        # write, which is harmless.
        write = b"mutation" in body
        if not self.load_shedder.allows(write=write, waited_s=waited_s):
            raise self._build_busy_error()
        self.load_shedder.enter(write=write)
        try:
            return await self._respond(scope, receive, body, caller)
        finally:
            self.load_shedder.leave(write=write)

    async def _respond(
        self, scope: Scope, receive: Receive, body: bytes, caller: Caller
    ) -> GraphQLResponse:
        is_post = scope["method"] == "POST"
        # A body is JSON, so no body begins like the key of a GET.
        key = body if is_post else b"GET " + scope["query_string"]
        if (cached := self._engine.cached_response(key, caller)) is not None:
            return cached
        request = parse_body(body) if is_post else parse_query_string(scope["query_string"])
        try:
            operation = self._engine.prepare(request)
        except RequestRefused as refused:
            return build_refusal_response(refused)
        if not operation.is_mutation:
            if (cached := self._engine.try_cached(operation, caller, key)) is not None:
                return cached
            execution = self._engine.execute(operation, caller, key)
            return await _cancel_on_disconnect(execution, receive)
        if not is_post:
            raise BadRequest(405, "A mutation must be sent with POST.", ((b"allow", b"POST"),))
        return await self._execute_mutation(operation, caller)

    async def _read_body(
        self, method: str, headers: Mapping[bytes, bytes], receive: Receive
    ) -> bytes:
        """Read the request's body after checking its media type and codings.

        The body of a GET is read and ignored.
        """
        if method == "GET":
            return await read_body(receive, None, self._limits.body_bytes)
        if not is_json(_decode_header(headers.get(b"content-type"))):
            raise BadRequest(415, f"Content-Type must be {JSON} in UTF-8.")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise BadRequest(415, "Content-Encoding is not supported; send the body as it is.")
        length = headers.get(b"content-length")
        # The HTTP parser checks the last coding only, and would deliver compressed bytes as is.
        if length is None and headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            message = "Transfer-Encoding must be chunked alone, or absent."
            raise BadRequest(501, message, ((b"connection", b"close"),))
        return await read_body(receive, length, self._limits.body_bytes)

    async def _execute_mutation(self, operation: Operation, caller: Caller) -> GraphQLResponse:
        """Execute a mutation to its end, even if its client disconnects or the server stops."""
        task = asyncio.ensure_future(self._engine.execute(operation, caller))
        self._mutations.add(task)
        task.add_done_callback(self._mutations.discard)
        return await asyncio.shield(task)

    def _build_busy_error(self) -> BadRequest:
        retry_after = str(self._limits.load.retry_after_s)
        message = f"The gateway is overloaded; retry later (Retry-After: {retry_after} s)."
        headers = ((b"retry-after", retry_after.encode()),)
        return BadRequest(503, message, headers, ErrorCode.PROVIDER_UNAVAILABLE)


def headers_by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name; values of a repeated header are joined by a comma."""
    named = dict(headers)
    if len(named) == len(headers):
        return named
    named.clear()
    for name, value in headers:
        named[name] = named[name] + b", " + value if name in named else value
    return named


def _compute_waited_s(scope: Scope) -> float:
    """Return how long, in seconds, the request has waited for the process to handle it."""
    received_s: float | None = scope.get("received_s")
    return 0.0 if received_s is None else asyncio.get_running_loop().time() - received_s


async def _cancel_on_disconnect(
    execution: Coroutine[Any, Any, GraphQLResponse], receive: Receive
) -> GraphQLResponse:
    """Return the execution's response; cancel the execution if the client disconnects first.

    Raises:
        ClientDisconnected: the client disconnected.
    """
    task = asyncio.ensure_future(execution)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        disconnect.cancel()
        task.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _encode_error(message: str, code: ErrorCode) -> bytes:
    extensions = {"code": code, "retryable": code.is_retryable}
    return orjson.dumps({"errors": [{"message": message, "extensions": extensions}]})


def _decode_header(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


#: The first half of a generated request id identifies the process, the second half the request.
_PROCESS_ID = uuid.uuid4().hex[:16]
_request_numbers = itertools.count(1)


def _choose_request_id(sent: bytes | None) -> str:
    """Return the client's X-Request-Id if it is well-formed, else a new id."""
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_PROCESS_ID}{next(_request_numbers):016x}"


#: The constant headers of a response, by media type.
_HEADERS = {
    media_type: [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Authorization"),
        (b"x-content-type-options", b"nosniff"),
    ]
    for media_type in (JSON, GRAPHQL_RESPONSE)
}


_HEADS = {media_type: encode_head(headers) for media_type, headers in _HEADERS.items()}


async def _send(
    send: Send, status: int, body: bytes, media_type: str, request_id: str, extra_headers: Headers
) -> None:
    id_bytes = request_id.encode()
    is_plain = status == 200 and not extra_headers
    if is_plain and write_directly(send, _HEADS[media_type], id_bytes, body):
        return
    headers = [
        *_HEADERS[media_type],
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", id_bytes),
        *extra_headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The /graphql endpoint: GraphQL over HTTP, straight on ASGI.

Every request needs a bearer token, GET and introspection included; see ``auth`` for why that also
keeps cross-site requests out. Under ``application/json`` a well-formed request is always answered
with 200; under ``application/graphql-response+json`` one that is refused is answered with 400.
A client that goes away cancels the reads of its request and never a write that has begun.
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
from balance_gateway.api.schema.errors import RequestRefused, internal_message, log_defect
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.server.direct_response import encode_head, write_directly
from balance_gateway.web.auth import Authenticator, bearer_token
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
    """What answers operations: ``api.execution.engine.Engine``, or something faster."""

    def prepare(self, request: GraphQLRequest) -> Operation:
        """The operation that is meant. Raises RequestRefused."""
        ...

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """The answer to the very same body, as long as it would be made alike again."""
        ...

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """The answer to a read, if all that is in it is at hand; None: it has to be executed.

        Given the body it is remembered for ``recall``.
        """
        ...

    async def execute(self, operation: Operation, caller: Caller) -> GraphQLResponse:
        """Answers it; only cancellation and defects are raised."""
        ...


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Limits of the endpoint.

    Attributes:
        body_bytes: of a request's body.
        admission: how much may be under way; the rest is answered with 503 before any work.
    """

    body_bytes: int = 1_048_576
    admission: LoadLimits = field(default_factory=LoadLimits)


class GraphQLEndpoint:
    """The endpoint as an ASGI application.

    Args:
        engine: answers operations.
        authenticator: tells who is asking.
        limits: of the endpoint.
        on_refusal: told of every request that is turned away because there are too many.
    """

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticator: Authenticator,
        limits: EndpointLimits | None = None,
        on_refusal: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._limits = limits or EndpointLimits()
        self.admission = LoadShedder(self._limits.admission, on_refusal)
        self._mutations: set[asyncio.Task[GraphQLResponse]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers = headers_by_name(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        media_type = negotiate(_text(headers.get(b"accept")))
        further: Headers = ()
        try:
            answer = await self._answer(scope, headers, receive, media_type, request_id)
            status = answer.status if media_type == GRAPHQL_RESPONSE else 200
            body = answer.body
        except BadRequest as bad:
            status, further = bad.status, bad.headers
            body = _error(bad.message, _CODES.get(status, "BAD_USER_INPUT"))
        except Unauthenticated as error:
            status, further = 401, ((b"www-authenticate", b"Bearer"),)
            body = _error(error.message, error.code)
        except ClientDisconnected:
            return
        except Exception as defect:
            log_defect(defect, request_id)
            status, body = 500, _error(internal_message(request_id), "INTERNAL")
        await _send(send, status, body, media_type or JSON, request_id, further)

    async def drain(self) -> None:
        """Waits until every mutation that has begun is over, whoever still listens."""
        self.admission.close()
        while self._mutations:
            await asyncio.wait(self._mutations)

    async def _answer(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        media_type: str | None,
        request_id: str,
    ) -> GraphQLResponse:
        # Now or never: what passes from here on is the caller's own time, or an issuer's.
        waited_s = _waited_s(scope)
        method: str = scope["method"]
        if method not in ("GET", "POST"):
            raise BadRequest(405, "Send GET or POST.", ((b"allow", b"GET, POST"),))
        principal = await self._authenticator.authenticate(
            bearer_token(headers.get(b"authorization"))
        )
        if media_type is None:
            raise BadRequest(406, f"Answers are {JSON} or {GRAPHQL_RESPONSE}; accept one of them.")
        caller = Caller(principal, request_id)
        body = await self._body(method, headers, receive)
        # A read that only mentions the word waits among the writes: nobody is worse off for it.
        write = b"mutation" in body
        if not self.admission.admits(write=write, waited_s=waited_s):
            raise self._busy()
        self.admission.enter(write=write)
        try:
            return await self._admitted(scope, receive, body, caller)
        finally:
            self.admission.leave(write=write)

    async def _admitted(
        self, scope: Scope, receive: Receive, body: bytes, caller: Caller
    ) -> GraphQLResponse:
        is_post = scope["method"] == "POST"
        if is_post:
            if (again := self._engine.cached_response(body, caller)) is not None:
                return again
            request = parse_body(body)
        else:
            request = parse_query_string(scope["query_string"])
        try:
            operation = self._engine.prepare(request)
        except RequestRefused as refused:
            return build_refusal_response(refused)
        if not operation.is_mutation:
            ready = self._engine.try_cached(operation, caller, body if is_post else None)
            if ready is not None:
                return ready
            return await _unless_gone(self._engine.execute(operation, caller), receive)
        if not is_post:
            raise BadRequest(405, "Mutations are sent with POST.", ((b"allow", b"POST"),))
        return await self._write(operation, caller)

    async def _body(self, method: str, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The request's body, whose kind is known to be right; that of a GET is not used."""
        if method == "GET":
            return await read_body(receive, None, self._limits.body_bytes)
        if not is_json(_text(headers.get(b"content-type"))):
            raise BadRequest(415, f"Send the request as {JSON} in UTF-8.")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise BadRequest(415, "Send the body without a Content-Encoding.")
        length = headers.get(b"content-length")
        # The parser looks at the last coding alone, and would pass compressed bytes on.
        if length is None and headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            message = "Send the body without a Transfer-Encoding, or with chunked alone."
            raise BadRequest(501, message, ((b"connection", b"close"),))
        return await read_body(receive, length, self._limits.body_bytes)

    async def _write(self, operation: Operation, caller: Caller) -> GraphQLResponse:
        """Executes a mutation to its end, even when the client or the server goes away."""
        task = asyncio.ensure_future(self._engine.execute(operation, caller))
        self._mutations.add(task)
        task.add_done_callback(self._mutations.discard)
        return await asyncio.shield(task)

    def _busy(self) -> BadRequest:
        retry_after = str(self._limits.admission.retry_after_s).encode()
        message = "The gateway is busy; try again in a moment."
        return BadRequest(503, message, ((b"retry-after", retry_after),))


def headers_by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name; values of a repeated header are joined by a comma."""
    named = dict(headers)
    if len(named) == len(headers):
        return named
    named.clear()
    for name, value in headers:
        named[name] = named[name] + b", " + value if name in named else value
    return named


def _waited_s(scope: Scope) -> float:
    """How long the request has waited for this process to look at it."""
    received_s: float | None = scope.get("received_s")
    return 0.0 if received_s is None else asyncio.get_running_loop().time() - received_s


async def _unless_gone(
    reading: Coroutine[Any, Any, GraphQLResponse], receive: Receive
) -> GraphQLResponse:
    """The answer, unless the client goes away first: then reading is cancelled."""
    task = asyncio.ensure_future(reading)
    watch = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_CODES = {503: "PROVIDER_UNAVAILABLE"}


def _error(message: str, code: str) -> bytes:
    extensions = {"code": code, "retryable": code == "PROVIDER_UNAVAILABLE"}
    return orjson.dumps({"errors": [{"message": message, "extensions": extensions}]})


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


#: Ids are unique among processes by the first half, and within one by the second.
_PROCESS = uuid.uuid4().hex[:16]
_numbers = itertools.count(1)


def _request_id(given: bytes | None) -> str:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"{_PROCESS}{next(_numbers):016x}"


#: The headers of every answer but its length and its request's id, by media type.
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
    send: Send, status: int, body: bytes, media_type: str, request_id: str, further: Headers
) -> None:
    name = request_id.encode()
    if status == 200 and not further and write_directly(send, _HEADS[media_type], name, body):
        return
    headers = [
        *_HEADERS[media_type],
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", name),
        *further,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

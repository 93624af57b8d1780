"""Serve /graphql: GraphQL over HTTP, as a plain ASGI application.

Every request needs a bearer token, GET and introspection included; ``auth`` explains how that also
protects against cross-site requests. Under ``application/json`` the status of a well-formed request
is always 200; under ``application/graphql-response+json`` that of a refused one is 400, and that of
one with data and errors is 294.
When a client disconnects, the reads of its request are cancelled; a write that has begun is not.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from balance_gateway.api.execution.engine import (
    GraphQLResponse,
    Operation,
    build_refusal_response,
)
from balance_gateway.api.request.context import Caller
from balance_gateway.api.schema.errors import RequestRefused, build_internal_message, log_defect
from balance_gateway.domain.errors import ErrorCode, Unauthenticated
from balance_gateway.observability.request_metrics import DISCONNECTED, RequestMetrics
from balance_gateway.ports import call_context
from balance_gateway.server.direct_response import AnswerAtOnce, OnReady
from balance_gateway.server.known_heads import RequestHead
from balance_gateway.web.answers_at_once import AnswersAtOnce, prepare
from balance_gateway.web.asked_heads import build_key, is_like_get
from balance_gateway.web.auth import Authenticator, parse_bearer_token
from balance_gateway.web.compression import Compressor
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.disconnects import cancel_on_disconnect
from balance_gateway.web.failed_credentials import FailedCredentials, build_throttle_error
from balance_gateway.web.graphql_engine import GraphQLEngine
from balance_gateway.web.graphql_responses import (
    Reply,
    ResponseSender,
    encode_error,
)
from balance_gateway.web.load_shedding import LoadLimits, LoadShedder
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, JSON, is_json, negotiate
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.request_headers import (
    choose_request_id,
    decode_header,
    headers_by_name,
)
from balance_gateway.web.request_parsing import (
    BadRequest,
    ClientDisconnected,
    parse_body,
    parse_query_string,
    read_body,
)
from balance_gateway.web.response_encoding import ResponseEncoder, parse_accepted


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
        cors: the other origins with pages that may call the endpoint; None for none.
        persisted_queries: the documents that callers may name by a hash; None keeps none.
        failures: counts failed credentials.
        requests: counts and times the requests, except for CORS preflights.
        compression: whether large responses are compressed for callers that accept it.
        load_shedder: counts concurrent requests; None for one of its own. Endpoints that follow
            each other in a process share it.
    """

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticator: Authenticator,
        limits: EndpointLimits | None = None,
        on_rejection: Callable[[], object] = lambda: None,
        cors: CorsPolicy | None = None,
        persisted_queries: PersistedQueries | None = None,
        failures: FailedCredentials | None = None,
        requests: RequestMetrics | None = None,
        *,
        compression: bool = True,
        load_shedder: LoadShedder | None = None,
    ) -> None:
        self._failures = failures or FailedCredentials()
        self._requests = requests or RequestMetrics()
        self._persisted_queries = persisted_queries or PersistedQueries(enabled=False)
        self._cors = cors
        self._sender = ResponseSender(cors)
        self._engine = engine
        self._authenticator = authenticator
        self._limits = limits or EndpointLimits()
        self.load_shedder = load_shedder or LoadShedder(self._limits.load, on_rejection)
        self._encoder = ResponseEncoder(Compressor(enabled=compression), self.load_shedder)
        self._answers = AnswersAtOnce(
            engine,
            authenticator,
            self._persisted_queries,
            self.load_shedder,
            self._encoder,
            self._sender,
            cors,
            self._requests,
            body_bytes_max=self._limits.body_bytes,
        )
        self._mutations: set[asyncio.Task[GraphQLResponse]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began_ns = time.perf_counter_ns()
        headers = headers_by_name(scope["headers"])
        origin = None
        if self._cors is not None:
            if scope["method"] == "OPTIONS":
                preflight = self._cors.answer_preflight(scope)
                if preflight is not None:
                    await preflight(scope, receive, send)
                    return
            origin = self._cors.find_allowed_value(headers.get(b"origin"))
        request_id = choose_request_id(headers.get(b"x-request-id"))
        media_type = negotiate(decode_header(headers.get(b"accept")))
        try:
            reply = await self._reply(scope, headers, receive, media_type, request_id)
        except ClientDisconnected:
            self._requests.count(DISCONNECTED, time.perf_counter_ns() - began_ns)
            return
        # Counted before it is sent: the response may reach the client first, and its next request
        # may be a scrape.
        self._requests.count(reply.status, time.perf_counter_ns() - began_ns)
        await self._sender.send(send, reply, media_type or JSON, request_id, origin)

    def answer_at_once(self, head: RequestHead, body: bytes, on_ready: OnReady) -> AnswerAtOnce:
        """Return what ``__call__`` would send, if that is known without waiting."""
        return self._answers.find(head, body, on_ready)

    def expects_body(self, head: RequestHead) -> bool:
        """Whether a request may be answered at once when its body is there."""
        return self._answers.expects_body(head)

    async def drain(self) -> None:
        """Stop measuring the load, and wait for every mutation that has begun."""
        self.load_shedder.close()
        await self.finish()

    async def finish(self) -> None:
        """Wait for every mutation that has begun, also those of disconnected clients."""
        while self._mutations:
            await asyncio.wait(self._mutations)

    async def _reply(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        media_type: str | None,
        request_id: str,
    ) -> Reply:
        try:
            response = await self._handle(scope, headers, receive, media_type, request_id)
        except BadRequest as bad:
            return Reply(bad.status, encode_error(bad.message, bad.code), extra_headers=bad.headers)
        except Unauthenticated as error:
            challenge = ((b"www-authenticate", b"Bearer"),)
            return Reply(401, encode_error(error.message, error.code), extra_headers=challenge)
        except ClientDisconnected:
            raise
        except Exception as defect:
            log_defect(defect, request_id)
            message = build_internal_message(request_id)
            return Reply(500, encode_error(message, ErrorCode.INTERNAL))
        accepted = parse_accepted(headers, media_type, is_post=scope["method"] == "POST")
        return await self._encoder.encode(response, accepted)

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
        if method not in ("GET", "HEAD", "POST"):
            allow = ((b"allow", b"GET, HEAD, POST"),)
            raise BadRequest(405, "The method must be GET, HEAD or POST.", allow)
        token = parse_bearer_token(headers.get(b"authorization"))
        try:
            principal = await self._authenticator.authenticate(token)
        except Unauthenticated:
            if (retry_after_s := self._failures.count(scope, headers)) is None:
                raise
            raise build_throttle_error(retry_after_s) from None
        if media_type is None:
            raise BadRequest(406, f"Accept must allow {JSON} or {GRAPHQL_RESPONSE}.")
        caller = Caller(principal, request_id)
        # Whoever reads has a share of the calls to a provider.
        call_context.caller_name.set(principal.name)
        call_context.request_id.set(request_id)
        body = await self._read_body(method, headers, receive)
        # Parsing the body first would cost too much. A read that contains the word counts as a
        # write, which is harmless.
        write = b"mutation" in body or self._persisted_queries.is_mutation(body)
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
        key = body if is_post else build_key(scope["query_string"])
        if is_post and is_like_get(body):
            parse_body(body)  # Says that it is not JSON.
        check = self._engine.check_changes()
        may_recall = check is None or await check
        if may_recall and (cached := await self._engine.recall(key, caller)) is not None:
            return cached
        operation = self._answers.take_operation(key)
        if operation is None:
            sent = parse_body(body) if is_post else parse_query_string(scope["query_string"])
            if sent.query is None:
                await self._persisted_queries.load(sent)
            try:
                operation = prepare(self._engine, self._persisted_queries, sent)
            except RequestRefused as refused:
                return build_refusal_response(refused)
            may_cache = may_recall and not operation.is_mutation and self._engine.may_cache(caller)
            if may_cache:
                cached = self._engine.try_cached(operation, caller, key)
                if cached is not None:
                    return cached
        if not operation.is_mutation:
            execution = self._engine.execute(operation, caller, key, may_recall=may_recall)
            return await cancel_on_disconnect(execution, receive)
        if not is_post:
            raise BadRequest(405, "A mutation must be sent with POST.", ((b"allow", b"POST"),))
        return await self._execute_mutation(operation, caller)

    async def _read_body(
        self, method: str, headers: Mapping[bytes, bytes], receive: Receive
    ) -> bytes:
        """Read the request's body after checking its media type and codings.

        The body of a GET or HEAD is read and ignored.
        """
        if method != "POST":
            return await read_body(receive, None, self._limits.body_bytes)
        if not is_json(decode_header(headers.get(b"content-type"))):
            raise BadRequest(415, f"Content-Type must be {JSON} in UTF-8.")
        # The names of codings are case-insensitive (RFC 9110, 8.4.1).
        if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
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


def _compute_waited_s(scope: Scope) -> float:
    """Return how long, in seconds, the request has waited for the process to handle it."""
    received_s: float | None = scope.get("received_s")
    return 0.0 if received_s is None else asyncio.get_running_loop().time() - received_s

"""Answer requests to /graphql without a task, where that needs no read and no write."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from balance_gateway.api.execution.engine import GraphQLResponse, Operation
from balance_gateway.api.request.context import Caller
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.domain.access import Principal
from balance_gateway.observability.request_metrics import RequestMetrics
from balance_gateway.server.direct_response import LATER, AnswerAtOnce, DirectAnswer, OnReady
from balance_gateway.server.known_heads import RequestHead
from balance_gateway.web.asked_heads import AskedHead, is_like_get, parse_head
from balance_gateway.web.auth import Authenticator
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.graphql_engine import GraphQLEngine
from balance_gateway.web.graphql_responses import DIRECT_STATUSES, ResponseSender
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.media_types import JSON
from balance_gateway.web.persisted_queries import PersistedQueries, SentRequest
from balance_gateway.web.prepared_operations import PreparedOperations
from balance_gateway.web.request_headers import choose_request_id
from balance_gateway.web.request_parsing import (
    BadRequest,
    parse_body,
    parse_query_string,
)
from balance_gateway.web.response_encoding import ResponseEncoder


class AnswersAtOnce:
    """Finds kept responses, and writes others from kept values.

    Args:
        engine: executes the operations.
        authenticator: finds callers.
        persisted_queries: the documents that callers may name by a hash.
        load_shedder: says whether another read is allowed.
        encoder: encodes the responses.
        sender: knows their headers.
        cors: the other origins with pages that may call the endpoint; None for none.
        requests: counts and times the requests that are answered.
        body_bytes_max: the limit of a body.
    """

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticator: Authenticator,
        persisted_queries: PersistedQueries,
        load_shedder: LoadShedder,
        encoder: ResponseEncoder,
        sender: ResponseSender,
        cors: CorsPolicy | None,
        requests: RequestMetrics,
        *,
        body_bytes_max: int,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._persisted_queries = persisted_queries
        self._load_shedder = load_shedder
        self._encoder = encoder
        self._sender = sender
        self._cors = cors
        self._requests = requests
        self._body_bytes_max = body_bytes_max
        self._operations = PreparedOperations()

    def find(self, head: RequestHead, body: bytes, on_ready: OnReady) -> AnswerAtOnce:
        """Return the response to a request with its whole body, as a task would send it.

        Args:
            head: the head of the request.
            body: its whole body.
            on_ready: is called after ``LATER``.

        Returns:
            None if it needs a task, or if anything about the request is wrong: the task then
            decides. ``LATER`` where other processes must be asked first what they have changed.
        """
        began_ns = time.perf_counter_ns()
        asked = head.parsed
        if type(asked) is not AskedHead:
            asked = head.parsed = parse_head(head)
        token = asked.token
        if token is None or len(body) > self._body_bytes_max or is_like_get(body):
            return None
        principal = self._authenticator.find(token)
        if principal is None or not self._load_shedder.has_room_for_read():
            return None
        self._load_shedder.start_measuring()
        check = self._engine.check_changes()
        if check is None:
            return self._find_answer(began_ns, asked, body, principal)
        self._load_shedder.enter(write=False)
        find_answer = partial(self._find_answer, began_ns, asked, body, principal)
        done = partial(self._answer_later, find_answer, on_ready)
        asyncio.ensure_future(check).add_done_callback(done)
        return LATER

    def expects_body(self, head: RequestHead) -> bool:
        """Whether ``find`` may return a response when the body is there.

        Args:
            head: the head of the request.
        """
        asked = parse_head(head)
        token = asked.token
        if token is None or asked.body_bytes > self._body_bytes_max:
            return False
        return self._authenticator.find(token) is not None

    def _answer_later(
        self,
        find_answer: Callable[[], DirectAnswer | None],
        on_ready: OnReady,
        check: asyncio.Future[bool],
    ) -> None:
        self._load_shedder.leave(write=False)
        # After a defect the task meets it again, and reports it.
        is_known = not check.cancelled() and check.exception() is None and check.result()
        on_ready(find_answer if is_known else None)

    def _find_answer(
        self, began_ns: int, asked: AskedHead, body: bytes, principal: Principal
    ) -> DirectAnswer | None:
        caller = Caller(principal, choose_request_id(asked.request_id))
        response = self._engine.cached_response(asked.key or body, caller)
        if response is None:
            response = self._write_response(asked, body, caller)
        if response is None:
            return None
        reply = self._encoder.find(response, asked.accepted)
        if reply is None or reply.status not in DIRECT_STATUSES:
            return None
        origin = None
        if self._cors is not None:
            origin = self._cors.find_allowed_value(asked.origin)
        self._requests.count(reply.status, time.perf_counter_ns() - began_ns)
        media_type = asked.accepted.media_type or JSON
        return self._sender.build_direct(reply, media_type, caller.request_id, origin)

    def _write_response(
        self, asked: AskedHead, body: bytes, caller: Caller
    ) -> GraphQLResponse | None:
        """Write the response from kept values; None if that needs more, or cannot be."""
        # Nearly every mutation contains the word, and needs no look at the storage.
        if (
            b"mutation" in body
            or self._load_shedder.is_late()
            or not self._engine.may_cache(caller)
        ):
            return None
        key = asked.key or body
        try:
            operation = self._operations.find(key)
            if operation is None:
                operation = self._prepare(key, asked.query_string, body)
        except (BadRequest, RequestRefused):
            return None
        response = self._engine.try_cached(operation, caller, key)
        if response is None:
            self._operations.hand_over(key, operation)
        return response

    def take_operation(self, key: bytes) -> Operation | None:
        """Return the operation of a request that has become a task, if it was prepared before.

        Args:
            key: the key under which the response is kept.
        """
        return self._operations.take(key)

    def _prepare(self, key: bytes, query_string: bytes | None, body: bytes) -> Operation:
        sent = parse_body(body) if query_string is None else parse_query_string(query_string)
        operation = prepare(self._engine, self._persisted_queries, sent)
        # A hash is looked up each time: that keeps its document, which others may have sent.
        if sent.query_hash is None and not operation.is_mutation:
            self._operations.put(key, operation)
        return operation


def prepare(
    engine: GraphQLEngine, persisted_queries: PersistedQueries, sent: SentRequest
) -> Operation:
    """Prepare the operation of a request, and keep its document if it has a hash.

    Raises:
        RequestRefused: the request is invalid, exceeds a limit, or names an unknown document.
    """
    operation = engine.prepare(persisted_queries.complete(sent))
    persisted_queries.keep(sent)
    return operation

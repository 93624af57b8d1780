"""The engine that answers compiled operations itself and leaves the rest to graphql-core's.

Three stages, each for what the one before lacks: the bytes of an equal request, as long as they
would be made alike again; fragments of accounts, joined; values, read and made into fragments.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from balance_gateway.api.execution.documents import PreparedOperation
from balance_gateway.api.execution.engine import (
    Engine,
    GraphQLRequest,
    GraphQLResponse,
    Operation,
    build_refusal_response,
)
from balance_gateway.api.fast_path.account_json_cache import AccountJsonCache
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.fast_path.operation_plan import (
    Plan,
    compile_plan,
    derive_template,
    find_literals,
)
from balance_gateway.api.fast_path.response_builder import ResponseBuilder
from balance_gateway.api.fast_path.response_state import PartialResponse
from balance_gateway.api.request.context import Caller, RequestContext
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.domain.access import Principal
from balance_gateway.observability.metrics import Metrics
from balance_gateway.ports.cache_validity import (
    CacheValidity,
)
from balance_gateway.service.gateway import Gateway

#: Of all templates together, counted as the documents that they were learned from: those are kept
#: parsed, see ``Limits.cached_document_characters``.
TEMPLATES_MAX = 1_000
TEMPLATE_CHARACTERS_MAX = 500_000

#: Bodies and answers that are remembered whole, together, with what they take besides.
REMEMBERED_BYTES_MAX = 16_000_000
_PER_REMEMBERED_BYTES = 600
_PER_MARK_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class FastPathOperation(Operation):
    """An operation with its plan.

    Attributes:
        plan: None for one that is graphql-core's.
        slots: the string literals of a document that is one of many alike. Its ``prepared`` is
            then the first of them, whose literals are others: it is never executed.
        request: what was sent, for when graphql-core has to answer after all.
    """

    plan: Plan | None = None
    slots: Sequence[str] = ()
    request: GraphQLRequest | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    """Documents that differ in string literals alone: one of them, its length, the plan of all."""

    prepared: PreparedOperation
    plan: Plan
    characters: int


@dataclass(slots=True, eq=False)
class _CachedResponse:
    """An answer, and under what an equal request would be answered alike.

    Attributes:
        answer: itself.
        marks: have to stand.
        changes: of all marks when these were last seen to stand; while it is the same, they do.
        until_s: when it ends to count, in seconds since 1970.
        reads: how many values are in it.
        size: in bytes, with its key.
    """

    answer: GraphQLResponse
    marks: Sequence[CacheValidity]
    changes: int
    until_s: float
    reads: int
    size: int

    def is_valid(self, changes: int) -> bool:
        """Whether no value in it has been replaced, or dropped by a write."""
        if self.changes != changes:
            if not all(mark.is_valid for mark in self.marks):
                return False
            self.changes = changes
        return True


class FastPathEngine:
    """Answers GraphQL requests; takes the place of ``Engine``.

    Args:
        engine: what answers the rest.
        gateway: the use cases.
        limits: of documents and arguments.
        request_timeout_s: see ``Engine``.
        metrics: told of values that were answered from fragments.
    """

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        *,
        limits: Limits,
        request_timeout_s: float,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._limits = limits
        self._request_timeout_s = request_timeout_s
        self._answerer = ResponseBuilder(AccountJsonCache())
        self._nonces = gateway.reads.local_cache_versions()
        self._templates: OrderedDict[str, _Template] = OrderedDict()
        self._template_characters = 0
        self._remembered: OrderedDict[tuple[Principal, bytes], _CachedResponse] = OrderedDict()
        self._remembered_bytes = 0
        self._kept_reads = metrics.reads.labels("balance", "cached")

    def prepare(self, request: GraphQLRequest) -> FastPathOperation:
        """The operation that is meant, known to be valid and affordable, with its plan.

        Raises:
            RequestRefused: it is not.
        """
        pieces = derive_template(request.query)
        if pieces is None or len(request.query) > self._limits.document_characters:
            return self._alone(request)
        text, slots = pieces
        template = self._templates.get(text)
        if template is None or request.operation_name not in (None, template.prepared.name):
            operation = self._alone(request)
            if template is None and operation.plan is not None:
                self._learn(text, request, operation)
            return operation
        self._templates.move_to_end(text)
        known = self._engine.affordable(template.prepared, request.variables)
        return FastPathOperation(
            known.prepared,
            known.variables,
            plan=template.plan,
            slots=slots,
            request=request,
        )

    def _alone(self, request: GraphQLRequest) -> FastPathOperation:
        operation = self._engine.prepare(request)
        prepared = operation.prepared
        if Plan not in prepared.made:
            prepared.made[Plan] = compile_plan(prepared.document, prepared.node, {})
        return FastPathOperation(prepared, operation.variables, plan=prepared.made[Plan])

    def _learn(self, text: str, request: GraphQLRequest, operation: FastPathOperation) -> None:
        """Keeps a plan for all documents of the template."""
        prepared = operation.prepared
        plan = compile_plan(prepared.document, prepared.node, find_literals(request.query))
        if plan is None:
            return
        self._templates[text] = _Template(prepared, plan, len(request.query))
        self._template_characters += len(request.query)
        while (
            len(self._templates) > TEMPLATES_MAX
            or self._template_characters > TEMPLATE_CHARACTERS_MAX
        ):
            _, forgotten = self._templates.popitem(last=False)
            self._template_characters -= forgotten.characters

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """The answer to the very same body, as long as it would be made alike again."""
        nonces = self._nonces
        remembered = self._remembered.get((caller.principal, body))
        if remembered is None or nonces is None:
            return None
        now_s = self._gateway.clock().timestamp()
        if now_s >= remembered.until_s or not remembered.is_valid(nonces.changes):
            del self._remembered[caller.principal, body]
            self._remembered_bytes -= remembered.size
            return None
        self._kept_reads.inc(remembered.reads)
        return remembered.answer

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """The answer, if everything in it is at hand and no other process has to be asked."""
        plan = getattr(operation, "plan", None)
        if plan is None or self._nonces is None:
            return None
        context = self._context(caller)
        given, slots = operation.variables, _slots(operation)
        try:
            answering = self._answerer.ready(plan, context, given, slots)
        except FallBackToGraphQLCore:
            return None
        if not answering.is_complete:
            return None
        answer = GraphQLResponse(answering.body(), 200)
        self._kept_reads.inc(answering.reads)
        if body is not None:
            self._remember(caller, body, answer, answering)
        return answer

    def _remember(
        self, caller: Caller, body: bytes, answer: GraphQLResponse, answering: PartialResponse
    ) -> None:
        assert self._nonces is not None
        marks = answering.marks()
        size = len(body) + len(answer.body) + len(marks) * _PER_MARK_BYTES + _PER_REMEMBERED_BYTES
        if size > REMEMBERED_BYTES_MAX // 100:
            return
        until_s, changes = answering.until_s(), self._nonces.changes
        key = caller.principal, body
        older = self._remembered.pop(key, None)
        if older is not None:
            self._remembered_bytes -= older.size
        self._remembered[key] = _CachedResponse(
            answer, marks, changes, until_s, answering.reads, size
        )
        self._remembered_bytes += size
        while self._remembered_bytes > REMEMBERED_BYTES_MAX:
            _, forgotten = self._remembered.popitem(last=False)
            self._remembered_bytes -= forgotten.size

    async def execute(self, operation: Operation, caller: Caller) -> GraphQLResponse:
        """Answers an operation. Raises nothing but cancellation."""
        plan = getattr(operation, "plan", None)
        if plan is None:
            return await self._engine.execute(operation, caller)
        context = self._context(caller)
        try:
            given, slots = operation.variables, _slots(operation)
            answering = self._answerer.ready(plan, context, given, slots)
            if not answering.is_complete:
                await self._answerer.complete(answering)
            return GraphQLResponse(answering.body(), 200)
        except FallBackToGraphQLCore:
            # With the same context: what has been read counts, and so does the time it took.
            return await self._plainly(operation, caller, context)
        finally:
            context.close()

    async def _plainly(
        self, operation: Operation, caller: Caller, context: RequestContext
    ) -> GraphQLResponse:
        if isinstance(operation, FastPathOperation) and operation.request is not None:
            try:
                operation = self._engine.prepare(operation.request)
            except RequestRefused as refused:
                return build_refusal_response(refused)
        return await self._engine.execute(operation, caller, context)

    def _context(self, caller: Caller) -> RequestContext:
        return RequestContext(self._gateway, caller, self._limits, self._request_timeout_s)


def _slots(operation: Operation) -> Sequence[str]:
    return operation.slots if isinstance(operation, FastPathOperation) else ()

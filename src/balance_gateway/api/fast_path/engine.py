"""The GraphQL engine with the fast path: the first and the last module in a request.

The web layer calls it with a request and gets the bytes of the response. Three stages, each for
requests that the previous one cannot serve:

1. ``cached_response``: a whole cached response to a byte-identical body of the same principal.
2. ``try_cached``: a compiled plan, filled with cached account JSON only; synchronous.
3. ``execute``: the same plan, with the missing values read in one batch.

Operations without a plan, and requests in which a stage raises ``FallBackToGraphQLCore``, are
executed by ``api/execution/engine.py``.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from balance_gateway.api.execution.documents import PreparedOperation
from balance_gateway.api.execution.engine import (
    PARTIAL_SUCCESS,
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
from balance_gateway.ports.cache_validity import CacheValidity
from balance_gateway.service.gateway import Gateway

#: Limits of all templates together. Each template keeps one parsed document, so the characters of
#: these documents are counted; see ``Limits.cached_document_characters``.
TEMPLATES_MAX = 1_000
TEMPLATE_CHARACTERS_MAX = 500_000

#: Limit of all cached responses together: request and response bodies, and an estimate of the
#: memory that Python objects add to each response and to each validity that it refers to.
CACHED_RESPONSE_BYTES_MAX = 16_000_000
_RESPONSE_OVERHEAD_BYTES = 600
_VALIDITY_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class FastPathOperation(Operation):
    """An operation with its plan.

    Attributes:
        plan: the compiled plan; None when graphql-core executes the operation.
        slot_values: the string literals of the query, when the plan comes from a template. Then
            ``prepared`` is the document that the template was compiled from: it has other literals
            and must not be executed.
        request: the request as sent, for falling back to graphql-core; only with a template.
    """

    plan: Plan | None = None
    slot_values: Sequence[str] = ()
    request: GraphQLRequest | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    """The plan of all documents that differ in string literals only.

    Attributes:
        prepared: the first of these documents.
        plan: valid for all of them.
        characters: length of the first document.
    """

    prepared: PreparedOperation
    plan: Plan
    characters: int


@dataclass(slots=True, eq=False)
class _CachedResponse:
    """A response, and the conditions under which an equal request gets the same one.

    Attributes:
        response: the response.
        validities: of all cached account JSON in it; each must still be valid.
        changes: the change counter of the cache versions when all validities were last checked.
        valid_until_s: end of validity, in seconds since 1970.
        read_count: number of values in it.
        size_bytes: size in memory, with its key.
    """

    response: GraphQLResponse
    validities: Sequence[CacheValidity]
    changes: int
    valid_until_s: float
    read_count: int
    size_bytes: int

    def is_valid(self, changes: int) -> bool:
        """Whether no value in it has been replaced, or dropped by a write.

        Args:
            changes: the current change counter of the cache versions.
        """
        # While the counter is the same, no validity of any account has ended.
        if self.changes != changes:
            if not all(validity.is_valid for validity in self.validities):
                return False
            self.changes = changes
        return True


class FastPathEngine:
    """Executes GraphQL requests; a drop-in replacement for ``Engine``.

    Args:
        engine: executes the operations that the fast path does not support.
        gateway: the use cases.
        limits: of documents and arguments.
        request_timeout_s: see ``Engine``.
        metrics: counts the values that are served from cached responses and cached account JSON.
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
        self._response_builder = ResponseBuilder(AccountJsonCache())
        self._cache_versions = gateway.reads.local_cache_versions()
        self._templates: OrderedDict[str, _Template] = OrderedDict()
        self._template_characters = 0
        self._cached_responses: OrderedDict[tuple[Principal, bytes], _CachedResponse] = (
            OrderedDict()
        )
        self._cached_response_bytes = 0
        self._cached_reads = metrics.reads.labels("balance", "cached")

    def prepare(self, request: GraphQLRequest) -> FastPathOperation:
        """Find the requested operation, validate it, check its cost and attach its plan.

        Raises:
            RequestRefused: the document is invalid, or the operation is missing or too expensive.
        """
        derived = derive_template(request.query)
        if derived is None or len(request.query) > self._limits.document_characters:
            return self._prepare_without_template(request)
        text, slot_values = derived
        template = self._templates.get(text)
        if template is None or request.operation_name not in (None, template.prepared.name):
            operation = self._prepare_without_template(request)
            if template is None and operation.plan is not None:
                self._store_template(text, request, operation)
            return operation
        self._templates.move_to_end(text)
        operation_of_template = self._engine.check_cost(template.prepared, request.variables)
        return FastPathOperation(
            operation_of_template.prepared,
            operation_of_template.variables,
            plan=template.plan,
            slot_values=slot_values,
            request=request,
        )

    def _prepare_without_template(self, request: GraphQLRequest) -> FastPathOperation:
        operation = self._engine.prepare(request)
        prepared = operation.prepared
        # The plan is stored with the parsed document and evicted together with it.
        if Plan not in prepared.made:
            prepared.made[Plan] = compile_plan(prepared.document, prepared.node, {})
        return FastPathOperation(prepared, operation.variables, plan=prepared.made[Plan])

    def _store_template(
        self, text: str, request: GraphQLRequest, operation: FastPathOperation
    ) -> None:
        """Compile and keep a plan for all documents of the template, if there is one."""
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
            _, evicted = self._templates.popitem(last=False)
            self._template_characters -= evicted.characters

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return the cached response to a byte-identical body while it is still valid.

        Args:
            body: the request body.
            caller: the response must have been cached for the same principal.

        Returns:
            None when there is no valid one, or when the cache is shared with other processes.
        """
        versions = self._cache_versions
        cached = self._cached_responses.get((caller.principal, body))
        if cached is None or versions is None:
            return None
        now_s = self._gateway.clock().timestamp()
        if now_s >= cached.valid_until_s or not cached.is_valid(versions.changes):
            del self._cached_responses[caller.principal, body]
            self._cached_response_bytes -= cached.size_bytes
            return None
        self._cached_reads.inc(cached.read_count)
        return cached.response

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """Build the response from cached account JSON only, without any read.

        Args:
            operation: as returned by ``prepare``.
            caller: the principal that asks.
            body: the request body, under which the response is cached; None: do not cache it.

        Returns:
            None when a value is missing, when the operation has no plan, or when the cache is
            shared with other processes. Then call ``execute``.
        """
        plan = getattr(operation, "plan", None)
        if plan is None or self._cache_versions is None:
            return None
        context = self._build_context(caller)
        try:
            partial = self._response_builder.build_from_cache(
                plan, context, operation.variables, _get_slot_values(operation)
            )
        except FallBackToGraphQLCore:
            return None
        if not partial.is_complete:
            return None
        response = GraphQLResponse(partial.encode(), 200)
        self._cached_reads.inc(partial.read_count)
        if body is not None:
            self._store_response(caller, body, response, partial)
        return response

    def _store_response(
        self, caller: Caller, body: bytes, response: GraphQLResponse, partial: PartialResponse
    ) -> None:
        assert self._cache_versions is not None
        validities = partial.validities()
        size_bytes = (
            len(body)
            + len(response.body)
            + len(validities) * _VALIDITY_BYTES
            + _RESPONSE_OVERHEAD_BYTES
        )
        # One large response must not evict most of the others.
        if size_bytes > CACHED_RESPONSE_BYTES_MAX // 100:
            return
        key = caller.principal, body
        replaced = self._cached_responses.pop(key, None)
        if replaced is not None:
            self._cached_response_bytes -= replaced.size_bytes
        self._cached_responses[key] = _CachedResponse(
            response=response,
            validities=validities,
            changes=self._cache_versions.changes,
            valid_until_s=partial.valid_until_s(),
            read_count=partial.read_count,
            size_bytes=size_bytes,
        )
        self._cached_response_bytes += size_bytes
        while self._cached_response_bytes > CACHED_RESPONSE_BYTES_MAX:
            _, evicted = self._cached_responses.popitem(last=False)
            self._cached_response_bytes -= evicted.size_bytes

    async def execute(self, operation: Operation, caller: Caller) -> GraphQLResponse:
        """Execute an operation, with reads where needed; raises nothing but cancellation."""
        plan = getattr(operation, "plan", None)
        if plan is None:
            return await self._engine.execute(operation, caller)
        context = self._build_context(caller)
        try:
            partial = self._response_builder.build_from_cache(
                plan, context, operation.variables, _get_slot_values(operation)
            )
            if not partial.is_complete:
                await self._response_builder.fill_missing(partial)
            return GraphQLResponse(partial.encode(), PARTIAL_SUCCESS if partial.errors else 200)
        except FallBackToGraphQLCore:
            # The same context, so that values are not read twice and the deadline does not restart.
            return await self._fall_back(operation, caller, context)
        finally:
            context.close()

    async def _fall_back(
        self, operation: Operation, caller: Caller, context: RequestContext
    ) -> GraphQLResponse:
        if isinstance(operation, FastPathOperation) and operation.request is not None:
            # The operation holds the template's document; graphql-core needs the one that was sent.
            try:
                operation = self._engine.prepare(operation.request)
            except RequestRefused as refused:
                return build_refusal_response(refused)
        return await self._engine.execute(operation, caller, context)

    def _build_context(self, caller: Caller) -> RequestContext:
        return RequestContext(self._gateway, caller, self._limits, self._request_timeout_s)


def _get_slot_values(operation: Operation) -> Sequence[str]:
    return operation.slot_values if isinstance(operation, FastPathOperation) else ()

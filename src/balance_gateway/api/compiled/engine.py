"""The GraphQL engine with the compiled executor: the first and the last module in a request.

The web layer calls it with a request and gets the bytes of the response. Where replicas share the
cache, it first asks what they have changed (``check_changes``). Three stages, each for
requests that the previous one cannot serve:

1. ``cached_response``: a whole response that was kept for the same bytes and the same rights;
   ``recall`` where the storage must be asked first.
2. ``try_cached``: a compiled plan, filled from what is kept; synchronous.
3. ``execute``: the same plan, with the missing values read in batches.

Operations without a plan, and requests in which a stage raises ``FallBackToGraphQLCore``, are
executed by ``api/execution/engine.py``.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from balance_gateway.api.compiled.account_blocks import (
    ACCOUNT_BLOCK_BYTES_MAX,
    AccountBlocks,
    hash_parts,
)
from balance_gateway.api.compiled.account_json_cache import ACCOUNT_JSON_BYTES_MAX, AccountJsonCache
from balance_gateway.api.compiled.execution import Execution
from balance_gateway.api.compiled.holes import Moment
from balance_gateway.api.compiled.kept_responses import (
    KeptResponse,
    KeptResponses,
    build_kept_core_response,
    build_kept_response,
)
from balance_gateway.api.compiled.kept_texts import KeptTexts
from balance_gateway.api.compiled.kept_totals import KeptTotalsCache
from balance_gateway.api.compiled.kept_values import KeptValues, StorageWatch
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.plan import Plan, Plans
from balance_gateway.api.compiled.request_state import KeptParts
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.templates import Templates, derive_template
from balance_gateway.api.execution.documents import PreparedOperation
from balance_gateway.api.execution.engine import (
    PARTIAL_SUCCESS,
    Engine,
    GraphQLRequest,
    GraphQLResponse,
    Operation,
    build_refusal_response,
)
from balance_gateway.api.request.context import Caller, RequestContext
from balance_gateway.api.request.dependencies import Dependencies
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.observability.metrics import Metrics
from balance_gateway.service.gateway import Gateway


@dataclass(frozen=True, slots=True, eq=False)
class CompiledOperation(Operation):
    """An operation with its plan; one from a template has other literals in ``prepared``.

    Attributes:
        plan: the plan; None if graphql-core has to execute the operation.
        arguments: the arguments of its fields, as ``plan`` evaluates them for the request.
        fallback: why graphql-core has to execute it; empty if it does not.
        request: the request as sent.
        slot_values: the string literals of the query, when the plan comes from a template.
    """

    plan: Plan | None
    arguments: Sequence[Any]
    fallback: str
    request: GraphQLRequest
    slot_values: Sequence[str] = ()


class CompiledEngine:
    """Executes GraphQL requests; a drop-in replacement for ``Engine``.

    Args:
        engine: executes the operations that cannot be compiled.
        gateway: the use cases.
        limits: of documents and arguments.
        request_timeout_s: see ``Engine``.
        metrics: counts the values in kept responses, and the operations that graphql-core executes.
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
        self._metrics = metrics
        self._kept_reads = metrics.reads.labels("balance", "cached")
        self._templates = Templates()
        self._storage = StorageWatch(gateway.storage_changes)
        self._kept_responses = KeptResponses()
        # Nothing is kept while nothing is cached.
        self._versions = gateway.reads.local_cache_versions()
        self._change_check = None if self._versions is None else gateway.reads.get_change_check()
        self._kept_parts = (
            None
            if self._versions is None
            else KeptParts(
                AccountJsonCache(ACCOUNT_JSON_BYTES_MAX),
                AccountBlocks(ACCOUNT_BLOCK_BYTES_MAX),
                KeptValues(self._storage),
                KeptTotalsCache(self._versions),
                KeptTexts(),
                self._versions,
            )
        )
        self._tenants_in_storage: dict[str, bool] = {}

    def prepare(self, request: GraphQLRequest) -> CompiledOperation:
        """Find the requested operation, validate it, check its cost and attach its plans.

        Raises:
            RequestRefused: the document is invalid, or the operation is missing or too expensive.
        """
        derived = derive_template(request.query)
        if derived is None or len(request.query) > self._limits.document_characters:
            return self._prepare_document(request)
        text, slot_values = derived
        template = self._templates.find(text)
        if template is None or request.operation_name not in (None, template.prepared.name):
            operation = self._prepare_document(request)
            if template is None:
                self._templates.store(text, request.query, operation.prepared)
            return operation
        return self._check_cost(template.prepared, template.plans, request, slot_values)

    def _prepare_document(self, request: GraphQLRequest) -> CompiledOperation:
        prepared = self._engine.get_operation(request)
        # The plans are stored with the parsed document and dropped together with it.
        plans = prepared.made.get(Plans)
        if plans is None:
            plans = prepared.made[Plans] = Plans(prepared.document, prepared.node, {})
        return self._check_cost(prepared, plans, request, ())

    def _check_cost(
        self,
        prepared: PreparedOperation,
        plans: Plans,
        request: GraphQLRequest,
        slot_values: Sequence[str],
    ) -> CompiledOperation:
        plan: Plan | None = None
        arguments: Sequence[Any] = ()
        fallback = ""
        try:
            plan = plans.get(request.variables or {})
        except FallBackToGraphQLCore as found:
            fallback = found.reason
        checked = self._engine.check_cost(prepared, request.variables, compiled=plan is not None)
        if plan is not None:
            try:
                arguments = plan.evaluate_arguments(checked.variables, slot_values, self._limits)
            except FallBackToGraphQLCore as found:
                plan, fallback = None, found.reason
        return CompiledOperation(
            prepared, checked.variables, plan, arguments, fallback, request, slot_values
        )

    def check_changes(self) -> Awaitable[bool] | None:
        """Ask which values other processes have changed; None if none does."""
        return None if self._change_check is None else self._change_check()

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return the kept response to a request with the same bytes and rights while it is valid.

        Args:
            body: the bytes of the request.
            caller: the sender of the request.
        """
        kept = self._kept_responses.find(caller.principal, body)
        if kept is None:
            return None
        if kept.stored is not None:
            self._storage.begin_request()
            if self._storage.get_version() is None:
                # ``recall`` looks at the storage first.
                return None
        return self._answer_kept(kept, body, caller)

    async def recall(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return what ``cached_response`` does, after a look at the storage if need be."""
        kept = self._kept_responses.find(caller.principal, body)
        if kept is None:
            return None
        if kept.stored is not None:
            self._storage.begin_request()
            if self._storage.get_version() is None and await self._storage.look() is None:
                return None
        return self._answer_kept(kept, body, caller)

    def _answer_kept(
        self, kept: KeptResponse, body: bytes, caller: Caller
    ) -> GraphQLResponse | None:
        """Return a kept response; None, after it was dropped, if it is no longer valid."""
        assert self._versions is not None
        now = self._gateway.clock()
        now_s = now.timestamp()
        if now_s >= kept.valid_until_s or not kept.is_valid(self._versions.changes):
            self._kept_responses.drop(caller.principal, body)
            return None
        self._kept_reads.inc(kept.value_count)
        return kept.fill(now, now_s, self._gateway.watch)

    def may_cache(self, caller: Caller) -> bool:
        """Whether ``try_cached`` may return a response to a caller, in this turn of the loop."""
        if self._kept_parts is None:
            return False
        self._storage.begin_request()
        # Where that takes a round trip, ``execute`` looks at the storage first.
        return not self._has_accounts_in_storage(caller) or self._storage.get_version() is not None

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """Write the response from what is kept, without waiting for a read.

        ``may_cache`` has looked at the storage just before.

        Args:
            operation: as returned by ``prepare``.
            caller: the sender of the request.
            body: the bytes of the request, under which the response is kept; None: do not keep it.

        Returns:
            None when a value is missing or the operation cannot be compiled. Then call ``execute``.
        """
        if operation.is_mutation:
            return None
        assert isinstance(operation, CompiledOperation)
        try:
            execution = self._start(operation, self._build_context(caller))
            output = execution.write_at_once()
        except FallBackToGraphQLCore:
            return None
        if output is None:
            return None
        # What was read is counted there.
        if not execution.has_read:
            self._kept_reads.inc(output.value_count)
        return self._respond(execution, output, body)

    async def execute(
        self,
        operation: Operation,
        caller: Caller,
        body: bytes | None = None,
        *,
        may_recall: bool = True,
    ) -> GraphQLResponse:
        """Execute an operation, with reads where needed; raises nothing but cancellation.

        Args:
            operation: as returned by ``prepare``.
            caller: the sender of the request.
            body: the bytes of the request, under which the response is kept; None: do not keep it.
            may_recall: whether what is kept may be used; False: nothing is kept either.
        """
        assert isinstance(operation, CompiledOperation)
        body = body if may_recall else None
        context = self._build_context(caller)
        if operation.is_mutation:
            self._metrics.graphql_fallbacks.labels("mutation").inc()
            return await self._fall_back(operation, caller, context, body)
        try:
            kept = None if body is None else self._kept_responses.find(caller.principal, body)
            if await self._look_at_storage(kept, caller) and kept is not None:
                assert body is not None
                answer = self._answer_kept(kept, body, caller)
                if answer is not None:
                    return answer
            execution = self._start(operation, context, may_recall=may_recall)
            output = await execution.write_with_reads()
            if not execution.has_read:
                self._kept_reads.inc(output.value_count)
            return self._respond(execution, output, body)
        except FallBackToGraphQLCore as fallback:
            # The same context, so that values are not read twice and the deadline does not restart.
            self._metrics.graphql_fallbacks.labels(fallback.reason).inc()
            return await self._fall_back(operation, caller, context, body)
        finally:
            context.close()

    async def _look_at_storage(self, kept: KeptResponse | None, caller: Caller) -> bool:
        """Look at the storage if that takes a round trip and a response may be made from it."""
        self._storage.begin_request()
        is_needed = kept is not None and kept.stored is not None
        if self._versions is None or not (is_needed or self._has_accounts_in_storage(caller)):
            return False
        if self._storage.get_version() is not None:
            return False
        return await self._storage.look() is not None

    def _has_accounts_in_storage(self, caller: Caller) -> bool:
        tenant = caller.principal.tenant
        if tenant not in self._tenants_in_storage:
            accounts = self._gateway.directory.accounts_for(caller.principal).values()
            is_in_storage = self._gateway.reads.is_in_storage
            self._tenants_in_storage[tenant] = any(map(is_in_storage, accounts))
        return self._tenants_in_storage[tenant]

    def _start(
        self, operation: CompiledOperation, context: RequestContext, *, may_recall: bool = True
    ) -> Execution:
        """Start the execution of an operation.

        Raises:
            FallBackToGraphQLCore: it cannot be compiled, or an argument is invalid or unusual.
        """
        if operation.plan is None:
            raise FallBackToGraphQLCore(operation.fallback)
        return Execution(
            operation.plan,
            operation.request.query,
            context,
            operation.arguments,
            operation.slot_values,
            self._kept_parts if may_recall else None,
        )

    def _respond(self, execution: Execution, output: Output, body: bytes | None) -> GraphQLResponse:
        """Build the response, and keep it for equal requests if nothing forbids it."""
        status, end = 200, b"}"
        if output.errors:
            status = PARTIAL_SUCCESS
            end = b',"errors":' + execution.encode_errors(output.errors) + b"}"
        output.parts = [b'{"data":', *output.parts, end]
        has_hashes = output.has_blocks and not output.has_holes
        digest = hash_parts(output.parts) if has_hashes else None
        # Text between holes is joined when it is used again.
        parts = output.parts if output.has_holes else output.join()
        context = output.state.context
        present_s = output.state.now_s
        if execution.has_read:
            present_s = self._gateway.clock().timestamp()
        moment = Moment(context.now, self._gateway.watch, present_s)
        response = GraphQLResponse(
            moment.fill(parts, output.connectors), status, known_digest=digest
        )
        if body is None or self._versions is None:
            return response
        if not self._kept_responses.is_asked_again(context.principal, body):
            return response
        kept = build_kept_response(output, parts, response, moment, self._versions.changes)
        if kept is not None:
            self._kept_responses.store(
                context.principal, body, kept, shows_principal=output.shows_principal
            )
        return response

    async def _fall_back(
        self,
        operation: CompiledOperation,
        caller: Caller,
        context: RequestContext,
        body: bytes | None,
    ) -> GraphQLResponse:
        # The operation may hold a template's document; graphql-core needs the one that was sent.
        # Its limit of the cost is lower.
        try:
            to_execute = self._engine.prepare(operation.request)
        except RequestRefused as refused:
            return build_refusal_response(refused)
        context.dependencies = Dependencies()
        is_kept = body is not None and self._versions is not None and not operation.is_mutation
        if is_kept and self._kept_parts is not None:
            context.storage_validity = await self._kept_parts.values.look()
        response = await self._engine.execute(to_execute, caller, context=context)
        if is_kept and body is not None and self._versions is not None:
            kept = build_kept_core_response(
                context.dependencies, response, context.now.timestamp(), self._versions.changes
            )
            if kept is not None:
                shows_principal = context.dependencies.shows_principal
                self._kept_responses.store(
                    caller.principal, body, kept, shows_principal=shows_principal
                )
        return response

    def _build_context(self, caller: Caller) -> RequestContext:
        return RequestContext(self._gateway, caller, self._limits, self._request_timeout_s)

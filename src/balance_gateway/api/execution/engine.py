"""Executes GraphQL requests with graphql-core and returns the bytes of the response.

The web layer uses ``prepare``, which is synchronous and classifies the operation, and ``execute``.
``CompiledEngine`` has the same interface and falls back to this engine.
"""

import hashlib
import inspect
from asyncio import Future
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CoroutineType
from typing import Any, TypeGuard

import orjson
from graphql import ExecutionResult, execute_root_selection_set
from graphql.execution.executor import Executor

from balance_gateway.api.execution.documents import Documents, PreparedOperation
from balance_gateway.api.execution.executor import GatewayExecutor
from balance_gateway.api.execution.input_errors import build_variable_errors
from balance_gateway.api.execution.mutation_roots import check_mutation_roots
from balance_gateway.api.execution.query_cost import apply_defaults
from balance_gateway.api.request.context import Caller, RequestContext
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.errors import (
    RequestRefused,
    build_refusal,
    format_error,
    refusal_from_errors,
)
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.api.schema.unreadable_inputs import keep_unreadable
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.service.gateway import Gateway


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """A request as sent. Its structure is checked, its contents are not."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A valid operation within the cost limit, with the variables of a request."""

    prepared: PreparedOperation
    variables: dict[str, Any]

    @property
    def is_mutation(self) -> bool:
        """Whether the operation is a mutation."""
        return self.prepared.is_mutation


@dataclass(frozen=True)
class GraphQLResponse:
    """A response as sent.

    Attributes:
        body: the JSON text.
        status: the HTTP status under ``application/graphql-response+json``: 200 if there is data
            or null for all of it, 294 if there is data beside errors, 400 if the request was
            refused, 403 if there is nothing because of a missing scope.
        json_status: the HTTP status under ``application/json``.
        known_digest: the hash of the body, where that of its parts is known; None: compute it.
    """

    body: bytes
    status: int
    json_status: int = 200
    known_digest: str | None = None

    @cached_property
    def digest(self) -> str:
        """A hash of the body, for its entity tag; computed once for a response that is kept."""
        return self.known_digest or hashlib.sha256(self.body).hexdigest()[:32]


#: The status of a response with data and errors, under ``application/graphql-response+json``.
PARTIAL_SUCCESS = 294


class Engine:
    """Executes GraphQL requests with graphql-core.

    Args:
        gateway: the use cases.
        limits: the limits of documents and arguments; None for the defaults.
        request_timeout_s: the time for all reads of a request together, in seconds; a read that is
            outstanding then fails with PROVIDER_TIMEOUT. It does not bound writes.
    """

    def __init__(
        self, gateway: Gateway, *, limits: Limits | None = None, request_timeout_s: float = 10.0
    ) -> None:
        self._gateway = gateway
        self._limits = limits or Limits()
        self._request_timeout_s = request_timeout_s
        self._schema = build_core_schema()
        self._documents = Documents(self._schema, self._limits)

    def prepare(self, request: GraphQLRequest) -> Operation:
        """Return the selected operation, valid and within the cost limit.

        Raises:
            RequestRefused: the document is invalid or exceeds a limit, or the cost is too high.
        """
        return self.check_cost(self.get_operation(request), request.variables)

    def get_operation(self, request: GraphQLRequest) -> PreparedOperation:
        """Return the selected operation, valid; its cost is not checked.

        Raises:
            RequestRefused: the document is invalid or exceeds a limit.
        """
        return self._documents.get_operation(request.query, request.operation_name)

    def check_cost(
        self,
        prepared: PreparedOperation,
        given: Mapping[str, Any] | None,
        *,
        compiled: bool = False,
    ) -> Operation:
        """Return a valid operation with its variables, within the cost limit.

        Args:
            prepared: the operation.
            given: the variables of the request; None without any.
            compiled: whether a compiled plan executes it, which may cost more.

        Raises:
            RequestRefused: the cost with these variables is too high.
        """
        variables = dict(given or {})
        cost = prepared.cost.total(apply_defaults(prepared.node, variables))
        allowed = self._limits.cost if compiled else self._limits.cost_graphql_core
        if cost > allowed:
            message = (
                f"The query must have a cost of at most {allowed} fields, not "
                f"{min(cost, 10**12)}. Request fewer accounts, days or fields at a time."
            )
            raise build_refusal(message, ErrorCode.QUERY_TOO_EXPENSIVE)
        return Operation(prepared, variables)

    def check_changes(self) -> None:
        """Return None: this engine keeps nothing."""
        return

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:  # noqa: ARG002
        """Return None: this engine caches no responses."""
        return None

    async def recall(self, body: bytes, caller: Caller) -> GraphQLResponse | None:  # noqa: ARG002
        """Return None: this engine caches no responses."""
        return None

    def may_cache(self, caller: Caller) -> bool:  # noqa: ARG002
        """Return False: this engine has no cached values."""
        return False

    def try_cached(
        self,
        operation: Operation,  # noqa: ARG002
        caller: Caller,  # noqa: ARG002
        body: bytes | None,  # noqa: ARG002
    ) -> GraphQLResponse | None:
        """Return None: this engine has no cached values."""
        return None

    async def execute(
        self,
        operation: Operation,
        caller: Caller,
        body: bytes | None = None,  # noqa: ARG002
        *,
        may_recall: bool = True,  # noqa: ARG002
        context: RequestContext | None = None,
    ) -> GraphQLResponse:
        """Execute an operation. It raises only cancellation and defects of the gateway.

        Args:
            operation: the operation from ``prepare``.
            caller: the sender of the request.
            body: not used, because this engine keeps nothing.
            may_recall: not used either.
            context: the context of the request if parts of it have been read already; None
                otherwise.
        """
        if context is None:
            context = RequestContext(self._gateway, caller, self._limits, self._request_timeout_s)
        try:
            result = await self._execute(operation, context)
        except RequestRefused as refused:
            return build_refusal_response(refused)
        finally:
            context.close()
        return _build_response(result, context)

    async def _execute(self, operation: Operation, context: RequestContext) -> ExecutionResult:
        # Arguments are coerced here and again when each field is executed.
        with keep_unreadable(active=operation.is_mutation):
            executor = self._build_executor(operation, context)
            if operation.is_mutation:
                check_mutation_roots(executor, operation.prepared.node, context)
            result = execute_root_selection_set(executor)
            return await result if inspect.isawaitable(result) else result

    def _build_executor(self, operation: Operation, context: RequestContext) -> Executor[Any]:
        executor = GatewayExecutor.build(
            self._schema,
            operation.prepared.document,
            context_value=context,
            raw_variable_values=operation.variables,
            operation_name=operation.prepared.name,
            is_awaitable=_is_awaitable,
            max_coercion_errors=self._limits.validation_errors,
        )
        if isinstance(executor, list):
            raise refusal_from_errors(
                build_variable_errors(
                    self._schema,
                    operation.prepared.node.variable_definitions or (),
                    operation.variables,
                    self._limits.validation_errors,
                )
                or executor
            )
        return executor


def build_refusal_response(refused: RequestRefused) -> GraphQLResponse:
    """Build the response to a request that was not executed."""
    json_status = refused.status if refused.is_malformed else 200
    return GraphQLResponse(orjson.dumps({"errors": refused.errors}), refused.status, json_status)


def _build_response(result: ExecutionResult, context: RequestContext) -> GraphQLResponse:
    if not result.errors:
        return GraphQLResponse(encode_json({"data": result.data}), 200)
    errors = [format_error(error, context.request_id) for error in result.errors]
    codes = {error["extensions"]["code"] for error in errors}
    if ErrorCode.INTERNAL in codes:
        context.dependencies.forbid_keeping()
    if result.data is None and codes == {ErrorCode.FORBIDDEN}:
        # A response with the member ``data`` must have a status 2xx.
        return GraphQLResponse(orjson.dumps({"errors": errors}), 403)
    status = 200 if result.data is None else PARTIAL_SUCCESS
    return GraphQLResponse(encode_json({"data": result.data, "errors": errors}), status)


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    # Faster than graphql-core's check: resolvers return no other kind of awaitable.
    return type(value) is CoroutineType or isinstance(value, Future)

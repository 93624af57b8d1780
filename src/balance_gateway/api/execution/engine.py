"""The engine: a GraphQL request in, the bytes of its answer out.

The web edge sees only this. ``prepare`` is synchronous and tells what kind of operation it is;
``execute`` answers it. Whatever answers faster than graphql-core can take the place of
``_result`` without anybody noticing.
"""

import inspect
from asyncio import Future
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, TypeGuard

import orjson
from graphql import ExecutionResult, GraphQLError, execute_root_selection_set

from balance_gateway.api.execution.documents import Documents, PreparedOperation
from balance_gateway.api.execution.query_cost import apply_defaults
from balance_gateway.api.request.context import Caller, RequestContext
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_schema, core_schema
from balance_gateway.api.schema.errors import (
    RequestRefused,
    build_refusal,
    format_error,
    refuse_with,
)
from balance_gateway.service.gateway import Gateway


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """A request as it was sent; shapes are checked, contents are not."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation that is valid and affordable, with its variables."""

    prepared: PreparedOperation
    variables: dict[str, Any]

    @property
    def is_mutation(self) -> bool:
        """Whether it writes."""
        return self.prepared.is_mutation


@dataclass(frozen=True, slots=True)
class GraphQLResponse:
    """An answer as it is sent.

    Attributes:
        body: JSON.
        status: the HTTP status under ``application/graphql-response+json``: 200 when there is
            data; 400 when the request was refused; 403 when a missing scope left no data.
    """

    body: bytes
    status: int


class Engine:
    """Answers GraphQL requests.

    Args:
        gateway: the use cases.
        limits: of documents and arguments.
        request_timeout_s: what all reads of a request may take together, in seconds; whatever is
            outstanding then is answered with PROVIDER_TIMEOUT. Writes are not bounded by it.
    """

    def __init__(
        self, gateway: Gateway, *, limits: Limits | None = None, request_timeout_s: float = 10.0
    ) -> None:
        self._gateway = gateway
        self._limits = limits or Limits()
        self._request_timeout_s = request_timeout_s
        self._schema = core_schema()
        self._executor_class = build_schema().execution_context_class
        self._documents = Documents(self._schema, self._limits)

    def prepare(self, request: GraphQLRequest) -> Operation:
        """The operation that is meant, known to be valid and affordable.

        Raises:
            RequestRefused: it is not.
        """
        prepared = self._documents.operation(request.query, request.operation_name)
        return self.affordable(prepared, request.variables)

    def affordable(self, prepared: PreparedOperation, given: Mapping[str, Any] | None) -> Operation:
        """A valid operation with its variables, known to be affordable.

        Raises:
            RequestRefused: it asks for more than one request may.
        """
        variables = dict(given or {})
        cost = prepared.cost.total(apply_defaults(prepared.node, variables))
        if cost > self._limits.cost:
            message = (
                f"The query asks for up to {min(cost, 10**12)} fields; a request may ask for "
                f"{self._limits.cost}. Ask for fewer accounts, days or fields at a time."
            )
            raise build_refusal(message, "QUERY_TOO_EXPENSIVE")
        return Operation(prepared, variables)

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:  # noqa: ARG002
        """Nothing is remembered here."""
        return None

    def try_cached(
        self,
        operation: Operation,  # noqa: ARG002
        caller: Caller,  # noqa: ARG002
        body: bytes | None,  # noqa: ARG002
    ) -> GraphQLResponse | None:
        """Nothing is at hand here."""
        return None

    async def execute(
        self, operation: Operation, caller: Caller, context: RequestContext | None = None
    ) -> GraphQLResponse:
        """Answers an operation; only cancellation and defects of ours are raised.

        Args:
            operation: known to be affordable.
            caller: who asks.
            context: of the request, when some of it has been read already.
        """
        if context is None:
            context = RequestContext(self._gateway, caller, self._limits, self._request_timeout_s)
        try:
            result = await self._result(operation, context)
        except RequestRefused as refused:
            return build_refusal_response(refused)
        finally:
            context.close()
        return _answer(result, caller.request_id)

    async def _result(self, operation: Operation, context: RequestContext) -> ExecutionResult:
        executor = self._executor_class.build(
            self._schema,
            operation.prepared.document,
            context_value=context,
            raw_variable_values=operation.variables,
            operation_name=operation.prepared.name,
            is_awaitable=_is_awaitable,
            max_coercion_errors=self._limits.validation_errors,
        )
        if isinstance(executor, list):
            raise refuse_with(executor)
        result = execute_root_selection_set(executor)
        return await result if inspect.isawaitable(result) else result


def build_refusal_response(refused: RequestRefused, status: int = 400) -> GraphQLResponse:
    """The answer to a request that was not executed."""
    return GraphQLResponse(orjson.dumps({"errors": refused.errors}), status)


def _answer(result: ExecutionResult, request_id: str) -> GraphQLResponse:
    if not result.errors:
        return GraphQLResponse(encode_json({"data": result.data}), 200)
    errors = _formatted(result.errors, request_id)
    codes = {error["extensions"]["code"] for error in errors}
    status = 403 if result.data is None and codes == {"FORBIDDEN"} else 200
    return GraphQLResponse(encode_json({"data": result.data, "errors": errors}), status)


def encode_json(answer: Any) -> bytes:
    """An answer, or a part of one, as JSON; half a surrogate pair of a provider's is told as ?."""
    try:
        return orjson.dumps(answer)
    except TypeError:
        return orjson.dumps(_in_unicode(answer))


def _in_unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_in_unicode(key): _in_unicode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_unicode(item) for item in value]
    return value


def _formatted(errors: list[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    return [format_error(error, request_id) for error in errors]


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    """Resolvers return coroutines and futures, nothing else that can be awaited."""
    return type(value) is CoroutineType or isinstance(value, Future)

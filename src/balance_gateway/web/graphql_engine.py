"""Defines what the endpoint needs of an engine that executes GraphQL operations."""

from collections.abc import Awaitable
from typing import Protocol

from balance_gateway.api.execution.engine import GraphQLRequest, GraphQLResponse, Operation
from balance_gateway.api.request.context import Caller


class GraphQLEngine(Protocol):
    """Executes operations: ``api.execution.engine.Engine``, or a faster implementation."""

    def prepare(self, request: GraphQLRequest) -> Operation:
        """Parse and validate a request.

        Raises:
            RequestRefused: the request is invalid or exceeds a limit.
        """
        ...

    def check_changes(self) -> Awaitable[bool] | None:
        """Ask what other processes have changed, so that a kept answer may be used.

        Returns:
            Whether that is known; if not, ``cached_response`` and ``try_cached`` must not be
            called. None if there is nothing to wait for.
        """
        ...

    def cached_response(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return the kept response to a byte-identical request while it is valid, else None."""
        ...

    async def recall(self, body: bytes, caller: Caller) -> GraphQLResponse | None:
        """Return what ``cached_response`` does, after a look at the storage if need be."""
        ...

    def may_cache(self, caller: Caller) -> bool:
        """Whether ``try_cached`` may return a response to a caller, in this turn of the loop."""
        ...

    def try_cached(
        self, operation: Operation, caller: Caller, body: bytes | None
    ) -> GraphQLResponse | None:
        """Return the response to a read if all of its data is cached, else None.

        ``may_cache`` must have returned True in the same turn of the event loop.

        Args:
            operation: a query.
            caller: the caller.
            body: the bytes of the request, under which ``cached_response`` finds the response
                later; None if the response must not be kept.
        """
        ...

    async def execute(
        self,
        operation: Operation,
        caller: Caller,
        body: bytes | None = None,
        *,
        may_recall: bool = True,
    ) -> GraphQLResponse:
        """Execute an operation; raises nothing but cancellation and defects.

        Args:
            operation: the operation.
            caller: the caller.
            body: as for ``try_cached``.
            may_recall: whether a part of the response may come from what is kept.
        """
        ...

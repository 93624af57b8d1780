"""Executes a compiled operation: writes the response, and reads what is missing.

A pass over the plan is synchronous. A value that is missing leaves a placeholder; then all missing
values are read at once and the response is written again, from the values of the request and from
the parts that are kept by then. Most requests need one pass and no read.
"""

from collections.abc import Sequence
from typing import Any

from graphql import FieldNode, GraphQLError, Source

from balance_gateway.api.compiled.field_errors import FieldError
from balance_gateway.api.compiled.output import MissingValue, Output
from balance_gateway.api.compiled.plan import Plan
from balance_gateway.api.compiled.request_state import KeptParts, RequestState
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.errors import build_extensions
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.domain.errors import Forbidden

#: Each pass reads all that it misses, and a value can lead to other values a few times only.
_PASSES_MAX = 10


class Execution:
    """The execution of one operation for one request.

    Args:
        plan: the compiled operation.
        query: the text of the document, for the locations of errors.
        context: the context of the request.
        arguments: the evaluated arguments of its fields.
        slot_values: the string literals of the query, when the plan comes from a template.
        kept: what is kept between requests; None where nothing may be kept.
    """

    def __init__(
        self,
        plan: Plan,
        query: str,
        context: RequestContext,
        arguments: Sequence[Any],
        slot_values: Sequence[str],
        kept: KeptParts | None,
    ) -> None:
        self._plan = plan
        self._query = query
        self._slot_values = slot_values
        self._state = RequestState(context, arguments, kept)

    @property
    def has_read(self) -> bool:
        """Whether values were read for the response."""
        return self._state.values.has_read

    def write_at_once(self) -> Output | None:
        """Write the response from what is kept and what the storage has at once.

        Returns:
            None if a value is missing for which the request has to wait.

        Raises:
            FallBackToGraphQLCore: graphql-core has to execute the operation.
        """
        self._state.may_wait = False
        try:
            output = self.write()
            if not output.is_complete and self._state.values.read_now():
                output = self.write()
        except MissingValue:
            return None
        return output if output.is_complete else None

    def write(self) -> Output:
        """Write the response in one pass.

        Raises:
            FallBackToGraphQLCore: graphql-core has to execute the operation.
        """
        self._state.tables.clear()
        output = Output(self._state)
        try:
            self._plan.write(None, output)
        except (FallBackToGraphQLCore, MissingValue):
            raise
        except Forbidden:
            raise FallBackToGraphQLCore("forbidden") from None
        except Exception:
            # graphql-core reports a value that cannot be written out at its own field, and the rest
            # of the response stays.
            raise FallBackToGraphQLCore("value") from None
        return output

    async def write_with_reads(self) -> Output:
        """Write the response, with reads where values are missing.

        Raises:
            FallBackToGraphQLCore: graphql-core has to execute the operation. The loaders of the
                request then hold the values that were read.
        """
        for _ in range(_PASSES_MAX):
            output = self.write()
            if output.is_complete:
                return output
            await self._state.values.read()
        raise FallBackToGraphQLCore("passes")

    def encode_errors(self, errors: Sequence[FieldError]) -> bytes:
        """Return the JSON list of GraphQL errors."""
        return encode_json([self._format_error(each) for each in errors])

    def _format_error(self, error: FieldError) -> dict[str, Any]:
        return {
            "message": error.error.message,
            "locations": [self._locate(node) for node in self._plan.error_nodes[error.keys]],
            "path": error.path,
            "extensions": build_extensions(error.error),
        }

    def _locate(self, node: FieldNode) -> dict[str, int]:
        assert node.loc is not None
        start = self._plan.shift_offset(node.loc.start, self._slot_values)
        if "\r" in self._query:
            located = GraphQLError("", source=Source(self._query), positions=[start]).locations
            assert located
            return {"line": located[0].line, "column": located[0].column}
        line_start = self._query.rfind("\n", 0, start) + 1
        line = self._query.count("\n", 0, line_start) + 1
        return {"line": line, "column": start - line_start + 1}

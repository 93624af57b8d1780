"""Documents: parsed, measured against the limits and validated once, then kept by their text."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from balance_gateway.api.execution.document_limits import DocumentMeasure, limit_exceeded
from balance_gateway.api.execution.query_cost import Cost
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import build_refusal, refuse_with


@dataclass(frozen=True, slots=True, eq=False)
class PreparedOperation:
    """One operation of a valid document.

    Attributes:
        document: the document it is in.
        node: its definition.
        name: None when it has none.
        cost: what answering it costs.
        made: what else was made of it, by what it is; kept and forgotten with it.
    """

    document: DocumentNode
    node: OperationDefinitionNode
    name: str | None
    cost: Cost
    made: dict[type, Any] = field(default_factory=dict, repr=False)

    @property
    def is_mutation(self) -> bool:
        """Whether it writes."""
        return self.node.operation is OperationType.MUTATION


class Documents:
    """Valid documents by their text; the ones used last are kept, by number and by size."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._kept: OrderedDict[str, tuple[PreparedOperation, ...]] = OrderedDict()
        self._kept_characters = 0

    def operation(self, query: str, operation_name: str | None) -> PreparedOperation:
        """The operation of a document that is meant.

        Raises:
            RequestRefused: the document is beyond a limit or invalid, or has no such operation.
        """
        operations = self._kept.get(query)
        if operations is None:
            operations = self._prepare(query)
            self._keep(query, operations)
        else:
            self._kept.move_to_end(query)
        return _chosen(operations, operation_name)

    def _prepare(self, query: str) -> tuple[PreparedOperation, ...]:
        document = self._parse(query)
        costs = DocumentMeasure(document, self._limits).costs
        errors = validate(self._schema, document, max_errors=self._limits.validation_errors)
        if errors:
            raise refuse_with(errors)
        return tuple(
            PreparedOperation(
                document=document,
                node=node,
                name=node.name.value if node.name else None,
                cost=costs[id(node)],
            )
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        )

    def _parse(self, query: str) -> DocumentNode:
        limits = self._limits
        if len(query) > limits.document_characters:
            raise limit_exceeded(limits.document_characters, "characters")
        try:
            return parse(query, max_lexical_tokens=limits.tokens, max_comments=limits.comments)
        except GraphQLError as error:
            if "Document contains more than" in error.message:
                what = "comments" if "comments" in error.message else "tokens"
                allowed = limits.comments if what == "comments" else limits.tokens
                raise limit_exceeded(allowed, what) from None
            raise refuse_with([error]) from None

    def _keep(self, query: str, operations: tuple[PreparedOperation, ...]) -> None:
        self._kept[query] = operations
        self._kept_characters += len(query)
        while (
            len(self._kept) > self._limits.cached_documents
            or self._kept_characters > self._limits.cached_document_characters
        ):
            forgotten, _ = self._kept.popitem(last=False)
            self._kept_characters -= len(forgotten)


def _chosen(
    operations: tuple[PreparedOperation, ...], operation_name: str | None
) -> PreparedOperation:
    if operation_name is not None:
        found = next((each for each in operations if each.name == operation_name), None)
        if found is None:
            message = f"The document has no operation {operation_name[:100]!r}."
            raise build_refusal(message, field="operationName")
    elif len(operations) == 1:
        found = operations[0]
    else:
        message = (
            "The document has several operations: name the one that is meant in operationName."
            if operations
            else "The document has no operation."
        )
        raise build_refusal(message, field="operationName" if operations else "query")
    if found.node.operation is OperationType.SUBSCRIPTION:
        raise build_refusal("There are no subscriptions. Send a query instead.", field="query")
    return found

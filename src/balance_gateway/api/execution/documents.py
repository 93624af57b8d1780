"""Parses, measures and validates documents, and caches the valid ones by their text."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Token,
    TokenKind,
    parse,
    validate,
)

from balance_gateway.api.execution.document_limits import DocumentMeasurement, build_limit_refusal
from balance_gateway.api.execution.input_errors import VALIDATION_RULES
from balance_gateway.api.execution.query_cost import Cost
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import (
    RequestRefused,
    build_refusal,
    format_error,
    refusal_from_errors,
)
from balance_gateway.domain.errors import ErrorCode


@dataclass(frozen=True, slots=True, eq=False)
class PreparedOperation:
    """One operation of a valid document.

    Attributes:
        document: the document that contains the operation.
        node: the definition of the operation.
        name: the name of the operation; None if it has none.
        cost: the cost of executing the operation.
        made: further objects derived from the operation, by type; they live as long as it does.
    """

    document: DocumentNode
    node: OperationDefinitionNode
    name: str | None
    cost: Cost
    made: dict[type, Any] = field(default_factory=dict, repr=False)

    @property
    def is_mutation(self) -> bool:
        """Whether the operation is a mutation."""
        return self.node.operation is OperationType.MUTATION


class Documents:
    """A least-recently-used cache of valid documents, bounded by number and by characters.

    Args:
        schema: the schema that documents are validated against.
        limits: the limits of documents and of the cache.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._cached: OrderedDict[str, tuple[PreparedOperation, ...]] = OrderedDict()
        self._cached_characters = 0

    def get_operation(self, query: str, operation_name: str | None) -> PreparedOperation:
        """Return the selected operation of a document.

        Args:
            query: the text of the document.
            operation_name: the name of the operation; None if the document has only one.

        Raises:
            RequestRefused: the document exceeds a limit, is invalid, or has no such operation.
        """
        operations = self._cached.get(query)
        if operations is None:
            operations = self._prepare(query)
            self._store(query, operations)
        else:
            self._cached.move_to_end(query)
        return _select_operation(operations, operation_name)

    def _prepare(self, query: str) -> tuple[PreparedOperation, ...]:
        document = self._parse(query)
        _refuse_long_numbers(document, self._limits)
        # Before validation, which takes far longer on a document beyond the limits.
        costs = DocumentMeasurement(document, self._schema, self._limits).costs
        errors = validate(
            self._schema, document, VALIDATION_RULES, max_errors=self._limits.validation_errors
        )
        if errors:
            raise refusal_from_errors(errors, ErrorCode.GRAPHQL_VALIDATION_FAILED)
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
            raise build_limit_refusal(limits.document_characters, "characters")
        try:
            return parse(query, max_lexical_tokens=limits.tokens, max_comments=limits.comments)
        except GraphQLError as error:
            # graphql-core has no error class for its own limits.
            if "Document contains more than" in error.message:
                what = "comments" if "comments" in error.message else "tokens"
                allowed = limits.comments if what == "comments" else limits.tokens
                raise build_limit_refusal(allowed, what) from None
            if "nested too deeply" in error.message:
                message = "The document is nested too deeply. Split the request."
                raise build_refusal(message, ErrorCode.QUERY_TOO_EXPENSIVE) from None
            raise refusal_from_errors([error], ErrorCode.GRAPHQL_PARSE_FAILED) from None

    def _store(self, query: str, operations: tuple[PreparedOperation, ...]) -> None:
        self._cached[query] = operations
        self._cached_characters += len(query)
        while (
            len(self._cached) > self._limits.cached_documents
            or self._cached_characters > self._limits.cached_document_characters
        ):
            evicted, _ = self._cached.popitem(last=False)
            self._cached_characters -= len(evicted)


def _refuse_long_numbers(document: DocumentNode, limits: Limits) -> None:
    """Refuse a number that is too long, before anything converts it.

    Raises:
        RequestRefused: a number has too many characters or too large an exponent.
    """
    assert document.loc is not None
    token: Token | None = document.loc.start_token
    while token is not None:
        if token.kind in (TokenKind.INT, TokenKind.FLOAT):
            assert token.value is not None
            exponent = token.value.lower().partition("e")[2].lstrip("+-")
            is_long = len(token.value) > limits.number_characters
            if is_long or len(exponent) > limits.exponent_digits:
                raise _build_number_refusal(document, token, limits)
        token = token.next


def _build_number_refusal(document: DocumentNode, token: Token, limits: Limits) -> RequestRefused:
    assert document.loc is not None
    message = (
        f"A number in the document must have at most {limits.number_characters} characters and an "
        f"exponent of at most {limits.exponent_digits} digits. Send a longer value as a string."
    )
    error = GraphQLError(message, source=document.loc.source, positions=[token.start])
    return RequestRefused([format_error(error, "")], is_malformed=True)


def _select_operation(
    operations: tuple[PreparedOperation, ...], operation_name: str | None
) -> PreparedOperation:
    if operation_name is not None:
        found = next((each for each in operations if each.name == operation_name), None)
        if found is None:
            message = (
                f"The document has no operation named {operation_name[:100]!r}. Set operationName "
                "to one of its operations."
            )
            raise build_refusal(message, field="operationName")
    elif len(operations) == 1:
        found = operations[0]
    else:
        message = (
            "The document has several operations. Set operationName to one of them."
            if operations
            else "The document has no operation. Add a query or a mutation."
        )
        raise build_refusal(message, field="operationName" if operations else "query")
    if found.node.operation is OperationType.SUBSCRIPTION:
        raise build_refusal("Subscriptions are not supported. Send a query instead.", field="query")
    return found

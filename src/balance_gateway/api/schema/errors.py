"""Converts exceptions to GraphQL errors.

A ``GatewayError`` is for the caller: its message and its attributes are sent. Any other exception
is a defect: the caller gets the code INTERNAL and the request id, and the log gets the type of the
exception and where it was raised.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.observability.logs import describe_exception

logger = logging.getLogger(__name__)

#: The code of errors about the caller's values that have no code of their own.
REQUEST_ERROR_CODE = ErrorCode.BAD_USER_INPUT


class RequestRefused(Exception):
    """A request that is answered with errors only; nothing was executed.

    Attributes:
        errors: formatted GraphQL errors, at least one.
        status: the HTTP status under ``application/graphql-response+json``.
        is_malformed: whether it has this status under ``application/json`` as well.
    """

    def __init__(
        self, errors: list[dict[str, Any]], *, status: int = 400, is_malformed: bool = False
    ) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status
        self.is_malformed = is_malformed


def build_refusal(
    message: str, code: ErrorCode = REQUEST_ERROR_CODE, field: str | None = None
) -> RequestRefused:
    """Build a refusal with one error.

    Args:
        message: the message for the caller.
        code: the error code.
        field: the part of the request that is wrong; None if it is the document as a whole.
    """
    extensions: dict[str, Any] = {"code": code, "retryable": code.is_retryable}
    if field is not None:
        extensions["field"] = field
    return RequestRefused([{"message": message, "extensions": extensions}])


def build_extensions(error: GatewayError) -> dict[str, Any]:
    """Build the ``extensions`` of a domain error; attributes that are None are left out."""
    extensions: dict[str, Any] = {"code": error.code, "retryable": error.retryable}
    if error.account_id is not None:
        extensions["accountId"] = error.account_id
    if error.provider is not None:
        extensions["provider"] = error.provider
    if error.retry_after_s is not None:
        extensions["retryAfterSeconds"] = math.ceil(error.retry_after_s)
    if error.field is not None:
        extensions["field"] = error.field
    return extensions


def refusal_from_errors(
    errors: Sequence[GraphQLError], code: ErrorCode = REQUEST_ERROR_CODE
) -> RequestRefused:
    """Build a refusal from graphql-core's errors about a document or its variables.

    Args:
        errors: at least one error.
        code: the code of the errors that have none of their own.

    Raises:
        Exception: the cause of an error that a defect of the gateway raised.
    """
    for error in errors:
        cause = _find_cause(error)
        if cause is not None and not isinstance(cause, GatewayError):
            raise cause
    return RequestRefused([format_error(error, "", code) for error in errors])


def to_graphql_words(message: str) -> str:
    """Return a message of graphql-core with the words of GraphQL instead of Python's."""
    return message.replace("not to be None", "not to be null")


def format_error(
    error: GraphQLError, request_id: str, code: ErrorCode = REQUEST_ERROR_CODE
) -> dict[str, Any]:
    """Format a GraphQL error for the response; a defect is logged and its text is masked.

    Args:
        error: the error.
        request_id: the id of the request, under which a defect is logged.
        code: the code of an error of graphql-core itself that has none of its own.
    """
    entry: dict[str, Any] = {"message": to_graphql_words(error.message)}
    if error.locations:
        entry["locations"] = [
            {"line": location.line, "column": location.column} for location in error.locations
        ]
    if error.path is not None:
        entry["path"] = error.path
    cause = _find_cause(error)
    if isinstance(cause, GatewayError):
        entry["message"] = cause.message
        entry["extensions"] = build_extensions(cause)
    elif cause is None:
        extensions = {"code": code, "retryable": code.is_retryable}
        entry["extensions"] = {**extensions, **(error.extensions or {})}
    else:
        entry["message"] = build_internal_message(request_id)
        code = ErrorCode.INTERNAL
        entry["extensions"] = {"code": code, "retryable": code.is_retryable}
        log_defect(cause, request_id, path=error.path)
    return entry


def _find_cause(error: GraphQLError) -> Exception | None:
    """Return the exception of a resolver or a scalar; None for an error of graphql-core itself."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def build_internal_message(request_id: str) -> str:
    """Return the message that a caller gets about a defect."""
    return f"Internal error of the gateway. Its log has the cause under request id {request_id}."


def log_defect(cause: BaseException, request_id: str, path: list[str | int] | None = None) -> None:
    """Log the type of an unexpected exception and where it was raised."""
    shown = ".".join(str(step) for step in path or [])
    # Without the text of the exception, which may contain amounts or secrets.
    facts = {"request_id": request_id, "path": shown, **describe_exception(cause)}
    logger.error("graphql.defect", extra=facts)

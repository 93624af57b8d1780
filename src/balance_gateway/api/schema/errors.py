"""The one table from domain errors to GraphQL errors, and what becomes of everything else.

A ``GatewayError`` is meant for the caller: its message and facts are shown. Any other exception
is a defect: the caller is told INTERNAL and the request's id, the log gets the kind of exception
and where it was raised, never its text, which may hold amounts or secrets.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

from balance_gateway.domain.errors import GatewayError
from balance_gateway.observability.logs import facts_of

logger = logging.getLogger(__name__)

#: GraphQL's own complaints about a document or its variables are all the caller's input.
REQUEST_ERROR_CODE = "BAD_USER_INPUT"


class RequestRefused(Exception):
    """The request is answered with errors alone; nothing was executed.

    Attributes:
        errors: formatted GraphQL errors, at least one.
    """

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


def build_refusal(
    message: str, code: str = REQUEST_ERROR_CODE, field: str | None = None
) -> RequestRefused:
    """A build_refusal with one error."""
    extensions: dict[str, Any] = {"code": code, "retryable": False}
    if field is not None:
        extensions["field"] = field
    return RequestRefused([{"message": message, "extensions": extensions}])


def build_extensions(error: GatewayError) -> dict[str, Any]:
    """The table: what ``extensions`` holds for a domain error. Unknown facts are left out."""
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


def refuse_with(errors: Sequence[GraphQLError]) -> RequestRefused:
    """A refusal with GraphQL's own complaints about a document or its variables.

    Raises:
        Exception: the defect, when one of them was raised by a defect of ours.
    """
    for error in errors:
        cause = _cause(error)
        if cause is not None and not isinstance(cause, GatewayError):
            raise cause
    return RequestRefused([format_error(error, "") for error in errors])


def format_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """A GraphQL error as it is sent; defects are logged and masked."""
    entry: dict[str, Any] = {"message": error.message}
    if error.locations:
        entry["locations"] = [
            {"line": location.line, "column": location.column} for location in error.locations
        ]
    if error.path is not None:
        entry["path"] = error.path
    cause = _cause(error)
    if isinstance(cause, GatewayError):
        entry["message"] = cause.message
        entry["extensions"] = build_extensions(cause)
    elif cause is None:
        entry["extensions"] = {
            "code": REQUEST_ERROR_CODE,
            "retryable": False,
            **(error.extensions or {}),
        }
    else:
        entry["message"] = internal_message(request_id)
        entry["extensions"] = {"code": "INTERNAL", "retryable": False}
        log_defect(cause, request_id, path=error.path)
    return entry


def _cause(error: GraphQLError) -> Exception | None:
    """What a resolver or a scalar raised; None when GraphQL itself complains."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def internal_message(request_id: str) -> str:
    """What a caller is told of a defect."""
    return f"Something went wrong inside the gateway. Its log has the cause under {request_id}."


def log_defect(cause: BaseException, request_id: str, path: list[str | int] | None = None) -> None:
    """Logs the kind of an unexpected exception and where it was raised, without its text."""
    shown = ".".join(str(step) for step in path or [])
    facts = {"request_id": request_id, "path": shown, **facts_of(cause)}
    logger.error("graphql.defect", extra=facts)

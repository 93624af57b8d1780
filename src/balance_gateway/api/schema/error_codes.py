"""The GraphQL enum ErrorCode, built from the codes of the domain."""

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

import strawberry

from balance_gateway.domain import errors as domain

DESCRIPTIONS: Mapping[domain.ErrorCode, str] = {
    domain.ErrorCode.UNAUTHENTICATED: "The credential is missing or unknown.",
    domain.ErrorCode.FORBIDDEN: "The credential lacks the scope of the field.",
    domain.ErrorCode.GRAPHQL_PARSE_FAILED: "The document is not GraphQL.",
    domain.ErrorCode.GRAPHQL_VALIDATION_FAILED: "The document does not fit the schema.",
    domain.ErrorCode.PERSISTED_QUERY_NOT_FOUND: (
        "The document of this hash is not known: send it with the hash."
    ),
    domain.ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED: (
        "The gateway keeps no documents: send the document without a hash."
    ),
    domain.ErrorCode.BAD_USER_INPUT: "An argument, a variable or another part of "
    "the request has a wrong value.",
    domain.ErrorCode.ACCOUNT_NOT_FOUND: "The account does not exist or is not yours.",
    domain.ErrorCode.UNSUPPORTED_BY_PROVIDER: "The provider does not support the operation.",
    domain.ErrorCode.TOO_STALE: "A value exists, but it is older than the caller accepts.",
    domain.ErrorCode.TOO_MANY_REQUESTS: "Too many requests with wrong credentials came "
    "from the caller's address.",
    domain.ErrorCode.QUERY_TOO_EXPENSIVE: "The request exceeds a limit.",
    domain.ErrorCode.PROVIDER_UNAVAILABLE: "The provider, or the gateway itself, cannot be "
    "reached now.",
    domain.ErrorCode.PROVIDER_TIMEOUT: "The provider did not respond in time.",
    domain.ErrorCode.PROVIDER_RATE_LIMITED: "The call budget at the provider is exhausted.",
    domain.ErrorCode.PROVIDER_CREDENTIALS_REJECTED: "The provider refused the connector's "
    "credentials.",
    domain.ErrorCode.PROVIDER_BAD_RESPONSE: "The provider's response violates its documentation.",
    domain.ErrorCode.PROVIDER_REJECTED: "The provider understood the request and refused it.",
    domain.ErrorCode.INTERNAL: "A defect of the gateway; its log has the cause.",
    domain.ErrorCode.WRITE_UNSETTLED: "An earlier write of the account may or may not "
    "have been applied.",
    domain.ErrorCode.WRITE_NOT_APPLIED: "An uncertain write was settled as not applied.",
}

if TYPE_CHECKING:
    # A type checker cannot see the members of an enum that is built from another one.
    ErrorCode = domain.ErrorCode
else:
    ErrorCode = strawberry.enum(
        Enum(
            "ErrorCode",
            {
                code.name: strawberry.enum_value(code, description=DESCRIPTIONS[code])
                for code in domain.ErrorCode
            },
        ),
        description="The reason of a failure, as in extensions.code of an error.",
    )


def to_graphql_code(code: domain.ErrorCode) -> ErrorCode:
    """Convert a code to the GraphQL enum."""
    member: ErrorCode = getattr(ErrorCode, domain.ErrorCode(code).name)
    return member

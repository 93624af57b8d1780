"""Defines all errors of the gateway as one class tree, and their codes as one enum.

::

    GatewayError                      code                           retryable
    ├── Unauthenticated               UNAUTHENTICATED                no
    ├── Forbidden                     FORBIDDEN                      no
    ├── BadInput                      BAD_USER_INPUT                 no
    ├── AccountNotFound               ACCOUNT_NOT_FOUND              no
    ├── Unsupported                   UNSUPPORTED_BY_PROVIDER        no
    │   └── SideUnknown               UNSUPPORTED_BY_PROVIDER        no
    ├── TooStale                      TOO_STALE                      yes
    ├── TooExpensive                  QUERY_TOO_EXPENSIVE            no
    ├── WriteUnsettled                WRITE_UNSETTLED                yes
    ├── WriteNotApplied               WRITE_NOT_APPLIED              no
    ├── CacheUnavailable              PROVIDER_UNAVAILABLE           yes
    ├── Internal                      INTERNAL                       no
    └── ProviderError
        ├── ProviderUnavailable       PROVIDER_UNAVAILABLE           yes
        ├── ProviderTimeout           PROVIDER_TIMEOUT               yes
        ├── ProviderRateLimited       PROVIDER_RATE_LIMITED          yes
        ├── ProviderCredentialsRejected  PROVIDER_CREDENTIALS_REJECTED  no
        ├── ProviderBadResponse       PROVIDER_BAD_RESPONSE          no
        └── ProviderRejected          PROVIDER_REJECTED              no

The codes GRAPHQL_PARSE_FAILED and GRAPHQL_VALIDATION_FAILED have no class: graphql-core reports
what is wrong with a document. Nor have PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED and
TOO_MANY_REQUESTS, which only the web layer reports.

Messages are written for the caller: they name the field and the next step, and never contain a
secret, another tenant's data or a provider's raw text.
"""

import enum
from typing import ClassVar


class ErrorCode(enum.StrEnum):
    """The stable codes of errors, as in ``extensions.code`` of a GraphQL error.

    A member is its own text in JSON, in metric labels and in the journal.
    """

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    UNSUPPORTED_BY_PROVIDER = "UNSUPPORTED_BY_PROVIDER"
    TOO_STALE = "TOO_STALE"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    QUERY_TOO_EXPENSIVE = "QUERY_TOO_EXPENSIVE"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT"
    PROVIDER_RATE_LIMITED = "PROVIDER_RATE_LIMITED"
    PROVIDER_CREDENTIALS_REJECTED = "PROVIDER_CREDENTIALS_REJECTED"
    PROVIDER_BAD_RESPONSE = "PROVIDER_BAD_RESPONSE"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    WRITE_UNSETTLED = "WRITE_UNSETTLED"
    WRITE_NOT_APPLIED = "WRITE_NOT_APPLIED"
    INTERNAL = "INTERNAL"

    @property
    def is_retryable(self) -> bool:
        """Whether a call that failed with this code can succeed later unchanged."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.TOO_STALE,
        ErrorCode.TOO_MANY_REQUESTS,
        ErrorCode.PROVIDER_UNAVAILABLE,
        ErrorCode.PROVIDER_TIMEOUT,
        ErrorCode.PROVIDER_RATE_LIMITED,
        ErrorCode.WRITE_UNSETTLED,
    }
)


class GatewayError(Exception):
    """A failure that is reported to the caller.

    Attributes:
        code: the stable code of ``extensions.code`` in a GraphQL error.
        field: the invalid input field as a dotted path; None when no input field is invalid.
        retry_after_s: seconds to wait before a retry; None when unknown.
        account_id: the gateway's id of the affected account; None when there is none.
        provider: the provider's kind, such as ``LIGHT``; None when no provider is involved.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        account_id: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.account_id = account_id
        self.provider = provider

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later unchanged."""
        return self.code.is_retryable


class Unauthenticated(GatewayError):
    """The credential is missing or unknown."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(GatewayError):
    """The credential is valid but lacks the scope that the field requires."""

    code = ErrorCode.FORBIDDEN


class BadInput(GatewayError):
    """The caller's input is invalid; ``field`` names the input field."""

    code = ErrorCode.BAD_USER_INPUT


class AccountNotFound(GatewayError):
    """No account of the caller's tenant has this id.

    The error is identical for an account of another tenant and for an account that does not
    exist.
    """

    code = ErrorCode.ACCOUNT_NOT_FOUND

    def __init__(self, account_id: str) -> None:
        super().__init__("There is no such account.", account_id=account_id)


class Unsupported(GatewayError):
    """The provider does not support the requested operation."""

    code = ErrorCode.UNSUPPORTED_BY_PROVIDER


class SideUnknown(Unsupported):
    """The account's normal side is neither configured nor known, and the operation needs it."""

    code = ErrorCode.UNSUPPORTED_BY_PROVIDER


class TooStale(GatewayError):
    """A value exists but is older than the caller accepts."""

    code = ErrorCode.TOO_STALE


class TooExpensive(GatewayError):
    """The query exceeds the cost limit of one request."""

    code = ErrorCode.QUERY_TOO_EXPENSIVE


class CacheUnavailable(GatewayError):
    """The shared cache is unavailable, so a write could not be fenced and was not sent."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class WriteUnsettled(GatewayError):
    """An earlier write of the account may or may not have been applied."""

    code = ErrorCode.WRITE_UNSETTLED


class WriteNotApplied(GatewayError):
    """An uncertain write was settled as not applied."""

    code = ErrorCode.WRITE_NOT_APPLIED


class Internal(GatewayError):
    """A defect of the gateway; the log contains the cause under the request id."""

    code = ErrorCode.INTERNAL


class ProviderError(GatewayError):
    """A provider did not respond, or responded with a failure.

    Attributes:
        maybe_applied: for a write, whether the provider may have applied it. False only when it
            certainly did not: no byte was sent, or the provider responded with a refusal.
        provider_code: the provider's own stable code (Layer's ``error_enum``); None without one.
    """

    def __init__(
        self,
        message: str,
        *,
        maybe_applied: bool = False,
        provider_code: str | None = None,
        retry_after_s: float | None = None,
        field: str | None = None,
        account_id: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(
            message,
            field=field,
            retry_after_s=retry_after_s,
            account_id=account_id,
            provider=provider,
        )
        self.maybe_applied = maybe_applied
        self.provider_code = provider_code


class ProviderUnavailable(ProviderError):
    """The connection failed or was lost, or the provider responded with status 5xx."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class CircuitOpen(ProviderUnavailable):
    """The provider was not called.

    Its circuit breaker is open, it asked for a pause, or too many calls are waiting for it.
    """

    code = ErrorCode.PROVIDER_UNAVAILABLE


class ProviderUntrusted(ProviderUnavailable):
    """The provider's certificate is not trusted, or was issued for another host."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class ProviderTimeout(ProviderError):
    """The provider did not respond before the deadline."""

    code = ErrorCode.PROVIDER_TIMEOUT


class ProviderRateLimited(ProviderError):
    """The provider's rate limit, or the call budget that we keep below it, is exhausted."""

    code = ErrorCode.PROVIDER_RATE_LIMITED


class BudgetSpent(ProviderRateLimited):
    """The provider was not called: the call budget below its rate limit is exhausted."""

    code = ErrorCode.PROVIDER_RATE_LIMITED


class ProviderCredentialsRejected(ProviderError):
    """The provider or its token endpoint refused the connector's credentials (401, 403)."""

    code = ErrorCode.PROVIDER_CREDENTIALS_REJECTED


class ProviderBadResponse(ProviderError):
    """The provider's response violates its documentation; none of it is used."""

    code = ErrorCode.PROVIDER_BAD_RESPONSE


class ProviderRejected(ProviderError):
    """The provider understood the request and refused it (400, 404, 409, 422)."""

    code = ErrorCode.PROVIDER_REJECTED


def with_account(
    error: GatewayError, *, account_id: str | None = None, provider: str | None = None
) -> GatewayError:
    """Return a copy of the error with the account and the provider that it concerns.

    One provider call serves many accounts, so its error is copied for each of them. An argument
    of None keeps the error's own value.
    """
    # Not through __init__: subclasses take different arguments.
    copy = error.__class__.__new__(error.__class__)
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    copy.__cause__ = error.__cause__
    copy.account_id = account_id or error.account_id
    copy.provider = provider or error.provider
    return copy

"""Defines all errors of the gateway as one class tree.

::

    GatewayError                      code                           retryable
    ├── Unauthenticated               UNAUTHENTICATED                no
    ├── Forbidden                     FORBIDDEN                      no
    ├── BadInput                      BAD_USER_INPUT                 no
    ├── AccountNotFound               ACCOUNT_NOT_FOUND              no
    ├── Unsupported                   UNSUPPORTED_BY_PROVIDER        no
    ├── TooStale                      TOO_STALE                      yes
    ├── TooExpensive                  QUERY_TOO_EXPENSIVE            no
    ├── CacheUnavailable              PROVIDER_UNAVAILABLE           yes
    ├── Internal                      INTERNAL                       no
    └── ProviderError
        ├── ProviderUnavailable       PROVIDER_UNAVAILABLE           yes
        ├── ProviderTimeout           PROVIDER_TIMEOUT               yes
        ├── ProviderRateLimited       PROVIDER_RATE_LIMITED          yes
        ├── ProviderCredentialsRejected  PROVIDER_CREDENTIALS_REJECTED  no
        ├── ProviderBadResponse       PROVIDER_BAD_RESPONSE          no
        └── ProviderRejected          PROVIDER_REJECTED              no

Messages are written for the caller: they name the field and the next step, and never contain a
secret, another tenant's data or a provider's raw text.
"""

from typing import ClassVar


class GatewayError(Exception):
    """A failure that is reported to the caller.

    Attributes:
        code: the stable code of ``extensions.code`` in a GraphQL error.
        retryable: whether the same call can succeed later unchanged.
        field: the invalid input field as a dotted path; None when no input field is invalid.
        retry_after_s: seconds to wait before a retry; None when unknown.
        account_id: the gateway's id of the affected account; None when there is none.
        provider: the provider's kind, such as ``LIGHT``; None when no provider is involved.
    """

    code: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False

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


class Unauthenticated(GatewayError):
    """The credential is missing or unknown."""

    code = "UNAUTHENTICATED"


class Forbidden(GatewayError):
    """The credential is valid but lacks the scope that the field requires."""

    code = "FORBIDDEN"


class BadInput(GatewayError):
    """The caller's input is invalid; ``field`` names the input field."""

    code = "BAD_USER_INPUT"


class AccountNotFound(GatewayError):
    """No account of the caller's tenant has this id.

    The error is identical for an account of another tenant and for an account that does not
    exist.
    """

    code = "ACCOUNT_NOT_FOUND"

    def __init__(self, account_id: str) -> None:
        super().__init__("There is no such account.", account_id=account_id)


class Unsupported(GatewayError):
    """The provider does not support the requested operation."""

    code = "UNSUPPORTED_BY_PROVIDER"


class TooStale(GatewayError):
    """A value exists but is older than the caller accepts."""

    code = "TOO_STALE"
    retryable = True


class TooExpensive(GatewayError):
    """The query exceeds the cost limit of one request."""

    code = "QUERY_TOO_EXPENSIVE"


class CacheUnavailable(GatewayError):
    """The shared cache is unavailable, so a write could not be fenced and was not sent."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class Internal(GatewayError):
    """A defect of the gateway; the log contains the cause under the request id."""

    code = "INTERNAL"


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

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class CircuitOpen(ProviderUnavailable):
    """The provider was not called.

    Its circuit breaker is open, it asked for a pause, or too many calls are waiting for it.
    """

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class ProviderUntrusted(ProviderUnavailable):
    """The provider's certificate is not trusted, or was issued for another host."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class ProviderTimeout(ProviderError):
    """The provider did not respond before the deadline."""

    code = "PROVIDER_TIMEOUT"
    retryable = True


class ProviderRateLimited(ProviderError):
    """The provider's rate limit, or the call budget that we keep below it, is exhausted."""

    code = "PROVIDER_RATE_LIMITED"
    retryable = True


class BudgetSpent(ProviderRateLimited):
    """The provider was not called: the call budget below its rate limit is exhausted."""

    code = "PROVIDER_RATE_LIMITED"
    retryable = True


class ProviderCredentialsRejected(ProviderError):
    """The provider or its token endpoint refused the connector's credentials (401, 403)."""

    code = "PROVIDER_CREDENTIALS_REJECTED"


class ProviderBadResponse(ProviderError):
    """The provider's response violates its documentation; none of it is used."""

    code = "PROVIDER_BAD_RESPONSE"


class ProviderRejected(ProviderError):
    """The provider understood the request and refused it (400, 404, 409, 422)."""

    code = "PROVIDER_REJECTED"


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

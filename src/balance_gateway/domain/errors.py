"""Every way in which the gateway says no, as one tree.

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

Messages are written for the caller: they name the field and the next step, and never hold a
secret, another tenant's data or a provider's raw text.
"""

from typing import ClassVar


class GatewayError(Exception):
    """A failure that a caller is told about.

    Attributes:
        code: the stable code of ``extensions.code`` in a GraphQL error.
        retryable: whether the same call can succeed later without a change.
        field: the input field at fault, as a dotted path; None when no input is.
        retry_after_s: seconds after which a retry is worth while; None when unknown.
        account_id: the gateway's id of the account concerned; None when there is none.
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
    """No credential, or one that is not known."""

    code = "UNAUTHENTICATED"


class Forbidden(GatewayError):
    """The credential is known and lacks the scope that the field needs."""

    code = "FORBIDDEN"


class BadInput(GatewayError):
    """The caller's input is wrong; ``field`` names it."""

    code = "BAD_USER_INPUT"


class AccountNotFound(GatewayError):
    """No account of the caller's tenant has this id. Another tenant's account reads the same."""

    code = "ACCOUNT_NOT_FOUND"

    def __init__(self, account_id: str) -> None:
        super().__init__("There is no such account.", account_id=account_id)


class Unsupported(GatewayError):
    """The provider has no way to do what was asked for."""

    code = "UNSUPPORTED_BY_PROVIDER"


class TooStale(GatewayError):
    """A value exists and is older than the caller takes."""

    code = "TOO_STALE"
    retryable = True


class TooExpensive(GatewayError):
    """The query asks for more than one request may cost."""

    code = "QUERY_TOO_EXPENSIVE"


class CacheUnavailable(GatewayError):
    """The shared cache is out of reach, so a write could not be fenced and was not started."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class Internal(GatewayError):
    """A defect of the gateway; the log has the cause under the request's id."""

    code = "INTERNAL"


class ProviderError(GatewayError):
    """A provider failed to answer, or answered with a failure.

    Attributes:
        maybe_applied: for a write: whether the provider may have taken it. False only when that
            is certain: no byte left, or the provider answered that it refused.
        provider_code: the provider's own stable code (Layer's ``error_enum``), None without one.
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
    """No connection, a connection lost, or an answer of 5xx."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class CircuitOpen(ProviderUnavailable):
    """Not even asked: it is given a pause, asked for one, or has too many calls waiting."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class ProviderUntrusted(ProviderUnavailable):
    """Its certificate is not trusted, or is another host's."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = True


class ProviderTimeout(ProviderError):
    """The provider did not answer within the deadline."""

    code = "PROVIDER_TIMEOUT"
    retryable = True


class ProviderRateLimited(ProviderError):
    """The provider's rate limit, or the budget we keep below it, is spent."""

    code = "PROVIDER_RATE_LIMITED"
    retryable = True


class BudgetSpent(ProviderRateLimited):
    """Not even asked: the budget that we keep below the provider's limit is spent."""

    code = "PROVIDER_RATE_LIMITED"
    retryable = True


class ProviderCredentialsRejected(ProviderError):
    """The provider refused the connector's credentials (401, 403, or the token endpoint's no)."""

    code = "PROVIDER_CREDENTIALS_REJECTED"


class ProviderBadResponse(ProviderError):
    """The provider's answer is not what its page promises; nothing of it is used."""

    code = "PROVIDER_BAD_RESPONSE"


class ProviderRejected(ProviderError):
    """The provider understood and refused (400, 404, 409, 422)."""

    code = "PROVIDER_REJECTED"


def with_account(
    error: GatewayError, *, account_id: str | None = None, provider: str | None = None
) -> GatewayError:
    """A copy of the error that says which account and provider it is about.

    One provider call serves many accounts, so the error of the call is copied for each.
    """
    copy = error.__class__.__new__(error.__class__)
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    copy.__cause__ = error.__cause__
    copy.account_id = account_id or error.account_id
    copy.provider = provider or error.provider
    return copy

"""The one place where transport errors and statuses become our error tree.

Whether a failed write may have been applied (``maybe_applied``):

=====================================================  =====
no connection: refused, DNS, TLS, no free connection   False
400…499 except 408; 307 and 308 ("not here")           False
408, 500…599, any other redirect                       True
deadline passed, or connection lost, once sent         True
2xx whose content is not what the page promises        True
=====================================================  =====

Reads are never "maybe applied". No message holds a provider's text, a URL or a secret.
"""

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from balance_gateway.domain.errors import (
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUntrusted,
)
from balance_gateway.transport.errors import ResponseTooLarge, Sent, get_sent
from balance_gateway.transport.rate_headers import (
    reset_in_s,
    retry_after_s,
)

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNREADABLE = (ResponseTooLarge, httpx.DecodingError)
CHECK_FIRST = " It may have been applied: read the opening balance before setting it again."


class Operation(NamedTuple):
    """What was being asked of whom; what every message begins with.

    Attributes:
        provider: the provider's kind, such as ``LIGHT``.
        name: what was asked for, as a noun: "balance read".
        write: whether it changes anything at the provider.
    """

    provider: str
    name: str
    write: bool = False

    @property
    def who(self) -> str:
        """The provider's name as people write it."""
        return self.provider.capitalize()


class ProviderResponse(NamedTuple):
    """A provider's whole answer.

    Attributes:
        operation: what it answers.
        status: the HTTP status.
        headers: by lower-case name.
        body: the decoded JSON, fractions as Decimal. None for null, for an empty answer, and for
            an unreadable one with a status other than 2xx.
    """

    operation: Operation
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the status is any of 2xx; the pages promise no particular one."""
        return 200 <= self.status < 300


def bad_response(
    operation: Operation, what: str, *, maybe_applied: bool | None = None
) -> ProviderBadResponse:
    """The error for an answer that is not what the page promises; ``what`` says so in our words."""
    if maybe_applied is None:
        maybe_applied = operation.write
    advice = CHECK_FIRST if maybe_applied else ""
    message = f"{operation.who}'s answer to the {operation.name} cannot be used: {what}.{advice}"
    return ProviderBadResponse(message, maybe_applied=maybe_applied, provider=operation.provider)


def translate_transport_error(
    operation: Operation, error: Exception, timeout_s: float
) -> ProviderError:
    """The error for an exchange that ended without a usable answer."""
    never = isinstance(error, _NEVER_SENT) or get_sent(error) is Sent.NEVER
    maybe_applied = operation.write and not never
    advice = CHECK_FIRST if maybe_applied else " Try again later."
    who, name = operation.who, operation.name
    if isinstance(error, _UNREADABLE):
        return bad_response(operation, "its size or compression is not acceptable")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        message = f"{who} did not answer the {name} within {timeout_s:g} s.{advice}"
        kind: type[ProviderError] = ProviderTimeout
    elif _is_untrusted(error):
        message = f"{who}'s certificate is not trusted for the {name}: check base_url."
        kind = ProviderUntrusted
    elif never:
        message = f"{who} could not be reached for the {name}.{advice}"
        kind = ProviderUnavailable
    else:
        message = f"The connection to {who} broke during the {name}.{advice}"
        kind = ProviderUnavailable
    return kind(message, maybe_applied=maybe_applied, provider=operation.provider)


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether the certificate was refused, whatever that was wrapped in."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def build_refusal(
    answer: ProviderResponse,
    now: datetime,
    *,
    hint: str = "Check the account's ids and the input.",
    field: str | None = None,
    provider_code: str | None = None,
) -> ProviderError:
    """The error for an answer with a status other than 2xx.

    Args:
        answer: what was answered.
        now: for reading instants in the rate headers.
        hint: the next step, where the provider understood and refused (400, 404, 409, 422).
        field: the input field at fault, in the same case.
        provider_code: the provider's own stable code.
    """
    operation, status = answer.operation, answer.status
    name = f"{operation.name} with HTTP {status}"
    maybe_applied = operation.write and (status == 408 or not 400 <= status < 500)
    kind: type[ProviderError] = ProviderRejected
    message = f"{operation.who} refused the {name}. {hint}"
    if status in {401, 403}:
        kind = ProviderCredentialsRejected
        what = "lack a right" if status == 403 else "are not accepted"
        message = f"{operation.who} refused the {name}: check the credentials, they {what}."
        field = None
    elif status == 408:
        kind, message = ProviderTimeout, f"{operation.who} gave up on the {name}."
    elif status == 429:
        kind = ProviderRateLimited
        message = f"{operation.who} refused the {name}: its rate limit is spent. Try again later."
    elif status >= 500:
        kind, message = ProviderUnavailable, f"{operation.who} answered the {name}."
    elif status < 400:
        return bad_response(operation, f"HTTP {status} is none its page knows")
    if maybe_applied:
        message += CHECK_FIRST
    elif kind in {ProviderTimeout, ProviderUnavailable}:
        message += " Try again later."
    return kind(
        message,
        maybe_applied=maybe_applied,
        provider_code=provider_code,
        retry_after_s=_retry_after_s(status, answer.headers, now),
        field=field if kind is ProviderRejected else None,
        provider=operation.provider,
    )


def _retry_after_s(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, as 429 and 503 may tell; None where they do not.

    The reset header says when the rate limit is full again, which is no wait for a 503.
    """
    if status not in {429, 503}:
        return None
    asked_s = retry_after_s(headers, now.timestamp())
    if asked_s is None and status == 429:
        return reset_in_s(headers, now.timestamp())
    return asked_s

"""Translate transport errors and HTTP statuses into the gateway's errors.

Whether a failed write may have been applied (``maybe_applied``):

=====================================================  =====
no connection: refused, DNS, TLS, no free connection   False
400…499 except 408; 307 and 308 (not processed)        False
408, 500…599, any other redirect                       True
deadline passed, or connection lost, once sent         True
2xx with content that contradicts the provider's page  True
=====================================================  =====

For reads ``maybe_applied`` is always False. No message contains a provider's text, a URL or a
secret.
"""

import functools
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from balance_gateway.domain.accounts import ProviderKind
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
from balance_gateway.transport.errors import (
    ProxyRefused,
    ResponseTooLarge,
    Sent,
    TransportError,
    TransportTimeout,
    UndecodableBody,
    UnknownCoding,
)
from balance_gateway.transport.rate_headers import reset_in_s, retry_after_s

#: What is wrong with a response that arrived and cannot be read; the first matching class applies.
_UNREADABLE: tuple[tuple[type[TransportError], str], ...] = (
    (ResponseTooLarge, "it exceeds a size limit"),
    (UnknownCoding, "its Content-Encoding is not one of gzip and deflate"),
    (UndecodableBody, "its compressed body is broken or incomplete"),
)
CHECK_BEFORE_RETRY = " It may have been applied: read the opening balance before setting it again."


class Operation(NamedTuple):
    """Identifies a call in messages, metrics and logs.

    Attributes:
        provider: The provider's kind, such as ``LIGHT``.
        name: The operation as a noun, such as "balance read".
        write: Whether it changes anything at the provider.
        is_token_request: Whether it goes to a token endpoint, which has limits of its own.
    """

    provider: str
    name: str
    write: bool = False
    is_token_request: bool = False

    @property
    def provider_name(self) -> str:
        """The provider's name for messages, such as "Light"."""
        return self.provider.capitalize()


@functools.lru_cache(maxsize=256)
def build_read_operation(kind: ProviderKind, name: str) -> Operation:
    """Return the operation of reads; the same one for the same names."""
    return Operation(kind.name, name)


class ProviderResponse(NamedTuple):
    """A provider's complete response.

    Attributes:
        operation: The operation that it responds to.
        status: HTTP status.
        headers: Response headers by lower-case name.
        body: Decoded JSON, fractions as ``Decimal``. None for JSON ``null``, for an empty body,
            and for an unreadable body with a status other than 2xx.
    """

    operation: Operation
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx; the providers' pages do not promise a particular one."""
        return 200 <= self.status < 300


def build_bad_response(
    operation: Operation, problem: str, *, maybe_applied: bool | None = None
) -> ProviderBadResponse:
    """Build the error for a response that contradicts the provider's page.

    Args:
        operation: The operation that failed.
        problem: What is wrong, in our own words.
        maybe_applied: Whether a write may have been applied; None for ``operation.write``.
    """
    if maybe_applied is None:
        maybe_applied = operation.write
    advice = CHECK_BEFORE_RETRY if maybe_applied else ""
    name = operation.provider_name
    message = f"{name}'s response to the {operation.name} is not usable: {problem}.{advice}"
    return ProviderBadResponse(message, maybe_applied=maybe_applied, provider=operation.provider)


def translate_transport_error(
    operation: Operation, error: TransportError | TimeoutError, timeout_s: float
) -> ProviderError:
    """Build the error for an exchange that ended without a usable response.

    Args:
        operation: The operation that failed.
        error: The transport's error, or ``TimeoutError`` when nothing was handed to it.
        timeout_s: The configured time limit, for the message.
    """
    never_sent = isinstance(error, TimeoutError) or error.sent is Sent.NEVER
    maybe_applied = operation.write and not never_sent
    advice = CHECK_BEFORE_RETRY if maybe_applied else " Try again later."
    provider, name = operation.provider_name, operation.name
    # A response arrived but cannot be read: trying again later would not help.
    for unreadable, problem in _UNREADABLE:
        if isinstance(error, unreadable):
            return build_bad_response(operation, problem)
    if isinstance(error, TimeoutError | TransportTimeout):
        message = f"{provider} did not respond to the {name} within {timeout_s:g} s.{advice}"
        kind: type[ProviderError] = ProviderTimeout
    # Before never_sent: a failed TLS handshake is also a connection error.
    elif _is_untrusted(error):
        message = (
            f"{provider}'s certificate is not trusted for the {name}: check base_url, or set"
            " ca_file to the authority that issued it."
        )
        kind = ProviderUntrusted
    elif isinstance(error, ProxyRefused):
        message = (
            f"The proxy refused to connect to {provider} for the {name} with HTTP"
            f" {error.proxy_status}: check the connector's proxy."
        )
        kind = ProviderUnavailable
    elif _is_certificate_refused(error):
        message = (
            f"{provider} requires a client certificate for the {name}, or does not accept the"
            f" connector's: check client_cert.{CHECK_BEFORE_RETRY if maybe_applied else ''}"
        )
        kind = ProviderUnavailable
    elif never_sent:
        message = f"Cannot connect to {provider} for the {name}.{advice}"
        kind = ProviderUnavailable
    else:
        message = f"The connection to {provider} failed during the {name}.{advice}"
        kind = ProviderUnavailable
    return kind(message, maybe_applied=maybe_applied, provider=operation.provider)


def _is_untrusted(error: BaseException | None) -> bool:
    """Return whether the certificate was rejected; searches the whole chain of causes."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_certificate_refused(error: BaseException | None) -> bool:
    """Return whether the server ended TLS because of our certificate, or the lack of one."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and "CERTIFICATE" in _read_alert(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _read_alert(error: ssl.SSLError) -> str:
    """Return the name of the server's alert, such as ``TLSV13_ALERT_CERTIFICATE_REQUIRED``."""
    return error.reason if error.reason and "ALERT" in error.reason else ""


def build_refusal(
    response: ProviderResponse,
    now: datetime,
    *,
    hint: str = "Check the account's ids and the input.",
    field: str | None = None,
    provider_code: str | None = None,
) -> ProviderError:
    """Build the error for a response with a status other than 2xx.

    Args:
        response: The response.
        now: Current time, for instants in the rate limit headers.
        hint: The next step if the provider understood and refused (400, 404, 409, 422).
        field: The input field at fault in the same case; None for none.
        provider_code: The provider's own stable error code; None for none.
    """
    operation, status = response.operation, response.status
    provider = operation.provider_name
    refused = f"{provider} refused the {operation.name} with HTTP {status}"
    wait_s = _read_wait_s(status, response.headers, now)
    wait = "" if wait_s is None else f" (Retry-After: {wait_s:g} s)"
    # 4xx means that the provider refused before doing anything; a 408 proves nothing.
    maybe_applied = operation.write and (status == 408 or not 400 <= status < 500)
    kind: type[ProviderError] = ProviderRejected
    message = f"{refused}. {hint}"
    if status in {401, 403}:
        # No input of the caller is at fault.
        kind = ProviderCredentialsRejected
        problem = "lack a permission" if status == 403 else "are not accepted"
        message = f"{refused}: check the connector's credentials, they {problem}."
        field = None
    elif status == 408:
        kind = ProviderTimeout
        message = f"{provider} timed out on the {operation.name} with HTTP {status}."
    elif status == 429:
        kind = ProviderRateLimited
        message = f"{refused}: its rate limit is exhausted{wait}. Try again later."
    elif status >= 500:
        kind = ProviderUnavailable
        message = f"{provider} is unavailable for the {operation.name}: HTTP {status}{wait}."
    elif status < 400:
        return build_bad_response(operation, f"HTTP {status} is not a documented status")
    if maybe_applied:
        message += CHECK_BEFORE_RETRY
    elif kind in {ProviderTimeout, ProviderUnavailable}:
        message += " Try again later."
    return kind(
        message,
        maybe_applied=maybe_applied,
        provider_code=provider_code,
        retry_after_s=wait_s,
        field=field if kind is ProviderRejected else None,
        provider=operation.provider,
    )


def _read_wait_s(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds that a 429 or 503 asks for; None if it asks for none."""
    if status not in {429, 503}:
        return None
    asked_s = retry_after_s(headers, now.timestamp())
    # The reset header says when the rate limit is full again: a wait for a 429, not for a 503.
    if asked_s is None and status == 429:
        return reset_in_s(headers, now.timestamp())
    return asked_s

"""Authenticate a connector with a fixed header or with a bearer token that is renewed in time.

``expires_in`` of a token response is read in three forms: missing (the default of one hour), up to
1e9 a duration in seconds, above it "the token expiration time as a unix timestamp (seconds)". Read
as a duration, that timestamp would keep a token for fifty-six years.
"""

import math
from base64 import b64encode
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import (
    BudgetSpent,
    CircuitOpen,
    GatewayError,
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRateLimited,
    with_account,
)
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.call_context import Priority, set_call_context
from balance_gateway.providers.http.credentials import Credentials
from balance_gateway.providers.http.errors import (
    ProviderResponse,
    build_bad_response,
    build_refusal,
)
from balance_gateway.providers.http.json_fields import MalformedResponse, require_object
from balance_gateway.providers.http.single_flight import SingleFlight
from balance_gateway.transport.rate_headers import reported_budget

#: Lifetime of a token without ``expires_in`` in its response: the default of both providers.
DEFAULT_LIFETIME_S = 3600
#: Above it, ``expires_in`` is an instant in unix seconds.
_UNIX_TIME_MIN = 1_000_000_000
#: Maximum lifetime of a token, whatever its response says: a wrong unit must not last for years.
LIFETIME_MAX = timedelta(days=1)
#: A token is renewed this long before it expires, or a tenth of its lifetime if that is less.
RENEWAL_MARGIN = timedelta(seconds=60)
#: How long a token is used that seems to be expired when it is issued (the clocks disagree).
EXPIRED_TOKEN_LIFETIME = timedelta(seconds=5)
#: Pauses after the first, second, third … consecutive failed renewal; the last one repeats.
RENEWAL_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

#: A token endpoint that refuses a well-formed request refuses the credentials (RFC 6749, 5.2).
_CREDENTIALS_REFUSED = frozenset({400, 401, 403, 422})


class Authorization(Protocol):
    """Provides the value of the ``Authorization`` header."""

    def cached_header(self) -> str | None:
        """Return the value if it is available without waiting; None otherwise."""
        ...

    async def get_header(self) -> str:
        """Return the value, and fetch it if necessary.

        Raises:
            GatewayError: The value cannot be fetched.
        """
        ...

    def reject(self, header: str) -> bool:
        """Record that the provider rejected this value; return whether to retry with another."""
        ...

    def record_renewal(self, header: str, *, rejected: bool) -> None:
        """Record whether the provider rejected the value that replaced a rejected one."""
        ...

    async def aclose(self) -> None:
        """Cancel a running fetch."""
        ...


def require_header_safe(name: str, secret: Secret) -> str:
    """Return a configured secret after checking that an HTTP header can carry it.

    Args:
        name: Name of the setting, for the error.
        secret: The configured secret.

    Raises:
        ValueError: The secret is empty, too long, or contains spaces, line breaks or non-ASCII
            characters; the text names the setting and never contains the value.
    """
    if not secret.is_header_safe():
        raise ValueError(f"{name} is empty or contains characters that an HTTP header cannot carry")
    return secret.reveal()


def build_basic_header(client_id: Secret, client_secret: Secret) -> str:
    """Build the HTTP Basic header of Layer's token endpoint; Light's API uses another format."""
    pair = f"{client_id.reveal()}:{client_secret.reveal()}"
    return "Basic " + b64encode(pair.encode("ascii")).decode("ascii")


class FixedAuthorization:
    """Provides a configured header, which changes only with the file of its secret."""

    def __init__(self, scheme: str, name: str, secret: Secret) -> None:
        """Check and store the header.

        Args:
            scheme: "Basic" or "Bearer".
            name: Name of the secret's setting, for the error.
            secret: The configured secret.

        Raises:
            ValueError: An HTTP header cannot carry the secret.
        """
        self._scheme = scheme
        self._credentials = Credentials(secret)
        self._header = f"{scheme} {require_header_safe(name, secret)}"

    def cached_header(self) -> str:
        """Return the configured value."""
        return self._header

    async def get_header(self) -> str:
        """Return the configured value."""
        return self._header

    def reject(self, header: str) -> bool:
        """Read the secret again, once in a while; return whether there is another value now."""
        if header == self._header and self._credentials.reread():
            [secret] = self._credentials.secrets
            self._header = f"{self._scheme} {secret.reveal()}"
        return header != self._header

    def record_renewal(self, header: str, *, rejected: bool) -> None:
        """Do nothing: a rejected secret is read again as before."""

    async def aclose(self) -> None:
        """Do nothing."""


class TokenAuthorization:
    """Provides a bearer token from a token endpoint; caches it and renews it before it expires.

    However many calls need a token at the same time, one request fetches it, and a cancelled
    caller does not cancel it for the others. A failure is not cached: the next call tries again,
    after a pause that grows with consecutive failures. The rate limit headers of the token endpoint
    delay token requests only.
    """

    def __init__(
        self,
        fetch: Callable[[], Coroutine[Any, Any, ProviderResponse]],
        clock: Clock,
        reread: Callable[[], bool] = lambda: False,
    ) -> None:
        """Store the fetch function; nothing is fetched.

        Args:
            fetch: Sends one token request and returns its response, whatever its status.
            clock: Current time.
            reread: Reads the client credentials again; returns whether they have changed.
        """
        self._fetch = fetch
        self._reread = reread
        self._clock = clock
        # Isolated: any call may join a renewal, so it must not inherit the low priority of a
        # background refresh that happens to start it.
        self._renewals: SingleFlight[str] = SingleFlight(isolated=True)
        self._header: str | None = None
        self._renew_at = datetime.min.replace(tzinfo=UTC)
        self._failures = 0
        self._failure: GatewayError | None = None
        self._paused_until = datetime.min.replace(tzinfo=UTC)
        self._rejected_renewals = 0
        self._last_rejected_renewal: str | None = None
        self._no_renewal_until = datetime.min.replace(tzinfo=UTC)

    def cached_header(self) -> str | None:
        """Return ``Bearer`` and the token if it is not about to expire."""
        if self._header is not None and self._clock() < self._renew_at:
            return self._header
        return None

    async def get_header(self) -> str:
        """Return ``Bearer`` and a token; fetch the token if none is cached."""
        return self.cached_header() or await self._renewals.join("token", self._renew)

    def reject(self, header: str) -> bool:
        """Drop the token unless it has been renewed since; return whether to retry.

        Returns False for a while after newly issued tokens were rejected too: the token is not
        the cause then, and fetching more would only use up the rate limit.
        """
        if self._clock() < self._no_renewal_until:
            return False
        if header == self._header:
            self._header = None
        return True

    def record_renewal(self, header: str, *, rejected: bool) -> None:
        """Record whether the provider rejected a newly issued token.

        A token counts once, however many calls it was rejected for.
        """
        if not rejected:
            self._rejected_renewals = 0
        elif header != self._last_rejected_renewal:
            self._last_rejected_renewal = header
            pause_s = RENEWAL_PAUSES_S[min(self._rejected_renewals, len(RENEWAL_PAUSES_S) - 1)]
            self._rejected_renewals += 1
            self._no_renewal_until = self._clock() + timedelta(seconds=pause_s)

    async def aclose(self) -> None:
        """Cancel a running renewal."""
        await self._renewals.aclose()

    async def _renew(self) -> str:
        # Writes depend on the token as well.
        set_call_context(priority=Priority.WRITE)
        started = self._clock()
        if self._failure is not None and started < self._paused_until:
            # A copy: callers add to an error, and its traceback grows with every raise.
            failure = with_account(self._failure)
            if isinstance(failure, ProviderRateLimited):
                failure.retry_after_s = math.ceil((self._paused_until - started).total_seconds())
            raise failure
        try:
            response = await self._fetch()
            if response.status in _CREDENTIALS_REFUSED and self._reread():
                response = await self._fetch()
            if not response.ok:
                raise _build_token_refusal(response, started)
            try:
                header, self._renew_at = _parse_token(response, started)
            except MalformedResponse as error:
                raise build_bad_response(response.operation, str(error)) from error
        except (CircuitOpen, BudgetSpent):
            # The call gate refused: the endpoint received no request and has not failed.
            raise
        except GatewayError as error:
            self._pause(error)
            raise
        self._header, self._failure, self._failures = header, None, 0
        self._follow_budget(response, started)
        return header

    def _follow_budget(self, response: ProviderResponse, started: datetime) -> None:
        """Send no further token request before the endpoint's limit allows one."""
        budget = reported_budget(response.headers, started.timestamp())
        if budget is None or budget.remaining > 0:
            return
        name = response.operation.provider_name
        message = f"The rate limit of {name}'s token endpoint is exhausted. Try again later."
        error = ProviderRateLimited(message, provider=response.operation.provider)
        self._pause_for(budget.reset_s, error)

    def _pause(self, error: GatewayError) -> None:
        pause_s = RENEWAL_PAUSES_S[min(self._failures, len(RENEWAL_PAUSES_S) - 1)]
        self._failures += 1
        self._pause_for(max(pause_s, error.retry_after_s or 0.0), error)

    def _pause_for(self, pause_s: float, error: GatewayError) -> None:
        self._failure = with_account(error)
        self._paused_until = self._clock() + timedelta(seconds=pause_s)


def _build_token_refusal(response: ProviderResponse, now: datetime) -> ProviderError:
    # An account's ids have no part in a token.
    hint = "Check the connector's token_url, or its base_url if it has none."
    error = build_refusal(response, now, hint=hint)
    if response.status not in _CREDENTIALS_REFUSED:
        return error
    name = response.operation.provider_name
    message = (
        f"{name} refused the connector's client credentials with HTTP {response.status}: "
        "check client_id and client_secret."
    )
    return ProviderCredentialsRejected(message, provider=response.operation.provider)


def _parse_token(response: ProviderResponse, requested_at: datetime) -> tuple[str, datetime]:
    """Return the header of a token response, and the time of its renewal."""
    body = require_object(response.body, "the token response")
    token = body.get("access_token")
    if not isinstance(token, str) or not Secret(token).is_header_safe():
        raise MalformedResponse("access_token is not a token")
    kind = body.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise MalformedResponse("token_type is not Bearer")
    return f"Bearer {token}", compute_renewal_time(body.get("expires_in"), requested_at)


def compute_renewal_time(expires_in: object, requested_at: datetime) -> datetime:
    """Return the time at which a token must be renewed.

    Args:
        expires_in: The response's field in any of its three forms, also as digits in a string;
            None if it is missing.
        requested_at: When the request was *started*, so that the lifetime is never overestimated.

    Raises:
        MalformedResponse: The field has none of the forms.
    """
    number: object = expires_in
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) <= 15:
        number = int(number)
    if number is None:
        number = DEFAULT_LIFETIME_S
    if isinstance(number, Decimal) and abs(number.adjusted()) <= 15:
        number = int(number)
    if type(number) is not int:
        raise MalformedResponse("expires_in is not a number")
    # timedelta overflows far above this, and LIFETIME_MAX applies anyway.
    number = min(number, 10**15)
    seconds = number - requested_at.timestamp() if number > _UNIX_TIME_MIN else number
    if seconds <= 0:
        return requested_at + EXPIRED_TOKEN_LIFETIME
    lifetime = timedelta(seconds=min(seconds, LIFETIME_MAX.total_seconds()))
    return requested_at + lifetime - min(RENEWAL_MARGIN, lifetime / 10)


class _ClientSettings(Protocol):
    @property
    def access_token(self) -> Secret | None: ...
    @property
    def client_id(self) -> Secret | None: ...
    @property
    def client_secret(self) -> Secret | None: ...


def build_authorization(
    settings: _ClientSettings,
    fetch: Callable[[Secret, Secret], Coroutine[Any, Any, ProviderResponse]],
    clock: Clock,
) -> Authorization:
    """Build the authorization from client credentials or from a fixed access token.

    Args:
        settings: The connector's settings, with one of the two.
        fetch: Sends one token request with client id and secret.
        clock: Current time, for the lifetimes of tokens.

    Raises:
        ValueError: An HTTP header cannot carry a credential.
    """
    if settings.access_token is not None:
        return FixedAuthorization("Bearer", "access_token", settings.access_token)
    client_id, client_secret = settings.client_id, settings.client_secret
    assert client_id is not None
    assert client_secret is not None
    for name, secret in (("client_id", client_id), ("client_secret", client_secret)):
        require_header_safe(name, secret)
    credentials = Credentials(client_id, client_secret)

    def fetch_token() -> Coroutine[Any, Any, ProviderResponse]:
        current_id, current_secret = credentials.secrets
        return fetch(current_id, current_secret)

    return TokenAuthorization(fetch_token, clock, credentials.reread)

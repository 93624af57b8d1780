"""What a connector proves itself with: a fixed header, or a bearer token that is renewed in time.

``expires_in`` is read in three forms: missing (the hour that was asked for by default), up to 1e9
a duration in seconds, above it "the token expiration time as a unix timestamp (seconds)". Read as
a duration, that timestamp would keep a token for fifty-six years.
"""

import re
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
)
from balance_gateway.domain.errors import with_account as copied
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.errors import ProviderResponse, bad_response, build_refusal
from balance_gateway.providers.json_fields import WrongShape, an_object
from balance_gateway.providers.single_flight import SingleFlight

#: Lifetime of a token whose answer names none: what both providers give by default.
DEFAULT_LIFETIME_S = 3600
#: Above it, ``expires_in`` is an instant in unix seconds.
_UNIX_TIME_MIN = 1_000_000_000
#: No token is kept longer, whatever its answer says: a wrong unit must not last for years.
LIFETIME_MAX = timedelta(days=1)
#: A token is renewed this long before it expires, or a tenth of its life before, if that is less.
MARGIN = timedelta(seconds=60)
#: How long a token is used that seems to be born expired (its clock and ours disagree).
EXPIRED_AT_BIRTH = timedelta(seconds=5)
#: Pauses after the second, third, … renewal in a row that failed; the last one repeats.
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

#: What a header can carry as a credential: printable ASCII without blanks.
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)


class Authorization(Protocol):
    """Gives the value of the ``Authorization`` header."""

    def ready(self) -> str | None:
        """The value to send, if it is at hand; None when it has to be waited for."""
        ...

    async def header(self) -> str:
        """The value to send. Raises GatewayError when it cannot be had."""
        ...

    def reject(self, header: str) -> bool:
        """Takes note that the provider refused this value; whether another can be had."""
        ...

    def renewed(self, header: str, *, in_vain: bool) -> None:
        """Takes note of what became of the value that took a rejected one's place."""
        ...

    async def aclose(self) -> None:
        """Ends what is under way."""
        ...


def require_header_safe(name: str, secret: Secret) -> str:
    """A configured secret, as a header can carry it.

    Raises:
        ValueError: it is empty, or holds blanks, line ends or other letters than ASCII's; the
            text names the setting, never the value.
    """
    text = secret.reveal()
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError(f"{name} is empty or holds characters that no HTTP header can carry")
    return text


def basic(client_id: Secret, client_secret: Secret) -> str:
    """HTTP Basic of a client, as Layer's token endpoint wants it (and Light's API does not)."""
    pair = f"{client_id.reveal()}:{client_secret.reveal()}"
    return "Basic " + b64encode(pair.encode("ascii")).decode("ascii")


class FixedAuthorization:
    """A header that stays as configured."""

    def __init__(self, scheme: str, name: str, secret: Secret) -> None:
        """Takes the scheme ("Basic", "Bearer") and the secret; ``name`` is its setting."""
        self._header = f"{scheme} {require_header_safe(name, secret)}"

    def ready(self) -> str:
        """The configured value."""
        return self._header

    async def header(self) -> str:
        """The configured value."""
        return self._header

    def reject(self, _: str) -> bool:
        """False: there is no other."""
        return False

    def renewed(self, header: str, *, in_vain: bool) -> None:
        """Never called: there is no other."""

    async def aclose(self) -> None:
        """Nothing to end."""


class TokenAuthorization:
    """A bearer token from a token endpoint: cached, renewed before it expires, once for all.

    However many calls need a token at once, one request fetches it, and a caller that gives up
    does not take it from the others. A failure is not kept: the next call tries again, after a
    pause that grows when failures repeat.
    """

    def __init__(
        self, fetch: Callable[[], Coroutine[Any, Any, ProviderResponse]], clock: Clock
    ) -> None:
        """``fetch`` sends one token request and returns its answer, whatever its status."""
        self._fetch = fetch
        self._clock = clock
        self._flights: SingleFlight[str] = SingleFlight(for_all=True)
        self._header: str | None = None
        self._renew_at = datetime.min.replace(tzinfo=UTC)
        self._failures = 0
        self._failure: GatewayError | None = None
        self._paused_until = datetime.min.replace(tzinfo=UTC)
        self._in_vain = 0
        self._refused: str | None = None
        self._trusted_until = datetime.min.replace(tzinfo=UTC)

    def ready(self) -> str | None:
        """``Bearer`` and a token that is not about to expire."""
        if self._header is not None and self._clock() < self._renew_at:
            return self._header
        return None

    async def header(self) -> str:
        """Likewise; fetched where there is none."""
        return self.ready() or await self._flights.join("token", self._renewed)

    def reject(self, header: str) -> bool:
        """Drops the token, unless it has been renewed since; True: another can be fetched.

        False for a while after tokens that had just been issued were refused, too: then it is not
        the token, and asking for more would only spend the budget.
        """
        if self._clock() < self._trusted_until:
            return False
        if header == self._header:
            self._header = None
        return True

    def renewed(self, header: str, *, in_vain: bool) -> None:
        """Takes note of whether a token that had just been issued was taken.

        Once for each token, however many calls it was refused to.
        """
        if not in_vain:
            self._in_vain = 0
        elif header != self._refused:
            self._refused = header
            pause_s = PAUSES_S[min(self._in_vain, len(PAUSES_S) - 1)]
            self._in_vain += 1
            self._trusted_until = self._clock() + timedelta(seconds=pause_s)

    async def aclose(self) -> None:
        """Ends a renewal under way."""
        await self._flights.aclose()

    async def _renewed(self) -> str:
        started = self._clock()
        if self._failure is not None and started < self._paused_until:
            raise copied(self._failure)
        try:
            answer = await self._fetch()
            if not answer.ok:
                raise _token_refusal(answer, started)
            try:
                header, self._renew_at = _token(answer, started)
            except WrongShape as error:
                raise bad_response(answer.operation, str(error)) from error
        except (CircuitOpen, BudgetSpent):
            # Our own refusal: the endpoint was not asked, and says nothing by it.
            raise
        except GatewayError as error:
            self._pause(error)
            raise
        self._header, self._failure, self._failures = header, None, 0
        return header

    def _pause(self, error: GatewayError) -> None:
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        pause_s = max(pause_s, min(error.retry_after_s or 0.0, PAUSES_S[-1]))
        self._failures += 1
        self._failure = copied(error)
        self._paused_until = self._clock() + timedelta(seconds=pause_s)


def _token_refusal(answer: ProviderResponse, now: datetime) -> ProviderError:
    """A token endpoint's no to a well-formed request is a no to the credentials (RFC 6749, 5.2)."""
    error = build_refusal(answer, now)
    if answer.status not in {400, 401, 403, 422}:
        return error
    who = answer.operation.who
    message = f"{who} refused the connector's client credentials with HTTP {answer.status}."
    return ProviderCredentialsRejected(message, provider=answer.operation.provider)


def _token(answer: ProviderResponse, asked_at: datetime) -> tuple[str, datetime]:
    """The header of a token answer, and when it is to be renewed."""
    body = an_object(answer.body, "the token answer")
    token = body.get("access_token")
    if not isinstance(token, str) or not _CREDENTIAL.fullmatch(token):
        raise WrongShape("access_token is not a token")
    kind = body.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise WrongShape("token_type is not Bearer")
    return f"Bearer {token}", renewal_time(body.get("expires_in"), asked_at)


def renewal_time(expires_in: object, asked_at: datetime) -> datetime:
    """When a token has to be renewed that was asked for at an instant.

    Args:
        expires_in: the answer's member in any of its three forms, also as digits in text; None
            when it is missing.
        asked_at: when the request was *started*, so that the life is never overstated.

    Raises:
        WrongShape: it is none of the forms.
    """
    number: object = expires_in
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) <= 15:
        number = int(number)
    if number is None:
        number = DEFAULT_LIFETIME_S
    if isinstance(number, Decimal) and abs(number.adjusted()) <= 15:
        number = int(number)
    if type(number) is not int:
        raise WrongShape("expires_in is not a number")
    number = min(number, 10**15)
    seconds = number - asked_at.timestamp() if number > _UNIX_TIME_MIN else number
    life = timedelta(seconds=min(seconds, LIFETIME_MAX.total_seconds())) if seconds > 0 else None
    if life is None:
        return asked_at + EXPIRED_AT_BIRTH
    return asked_at + life - min(MARGIN, life / 10)


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
    *,
    who: str,
) -> Authorization:
    """The authorization of a connector that has client credentials, or a fixed access token.

    Args:
        settings: the connector's.
        fetch: sends one token request with client id and secret.
        clock: for the tokens' lives.
        who: the provider, for messages.

    Raises:
        ValueError: both or neither are set, or no header can carry them.
    """
    client_id, client_secret = settings.client_id, settings.client_secret
    if settings.access_token is not None and client_id is None and client_secret is None:
        return FixedAuthorization("Bearer", "access_token", settings.access_token)
    if settings.access_token is not None or client_id is None or client_secret is None:
        raise ValueError(f"{who} takes either client_id and client_secret, or access_token")
    for name, secret in (("client_id", client_id), ("client_secret", client_secret)):
        require_header_safe(name, secret)
    return TokenAuthorization(lambda: fetch(client_id, client_secret), clock)

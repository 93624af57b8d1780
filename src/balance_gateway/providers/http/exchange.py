"""Data of one HTTP exchange: the request, its remaining time, and what is reported about it."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote, quote_plus

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.ports.call_context import current_call
from balance_gateway.ports.provider_call import CallSlot, ProviderCall
from balance_gateway.providers.http.errors import Operation
from balance_gateway.providers.http.redirects import REDIRECT_STATUSES
from balance_gateway.transport.messages import RawResponse


class FirstRequest(Protocol):
    """The first request of an exchange, when it was sent before the exchange is awaited.

    Attributes:
        header: Value of its ``Authorization`` header.
        slot: The slot that it holds.
        started_s: When it was sent, on the monotonic clock.
    """

    header: str
    slot: CallSlot
    started_s: float

    def finish(self, before_repeat: Callable[[], Awaitable[None]] | None) -> Awaitable[RawResponse]:
        """Return what the transport's ``exchange`` would."""
        ...


@dataclass(slots=True)
class Exchange:
    """A request and its remaining time.

    Attributes:
        operation: Name, kind and provider of the operation.
        method: GET, PUT or POST.
        content: Bytes of the body; empty for no body.
        content_type: Sent with every request, even without a body.
        left_s: Remaining time in seconds. Time spent waiting in the call gate does not count.
        empty_ok: Whether a 2xx response may have an empty body.
        before_repeat: Awaited before a read is resent because its connection closed without a
            response; None without a call gate.
        begun: The first request, if it was sent before the exchange is awaited; it is taken once.
    """

    operation: Operation
    method: str
    content: bytes
    content_type: str
    left_s: float
    empty_ok: bool = False
    before_repeat: Callable[[], Awaitable[None]] | None = None
    begun: FirstRequest | None = None


@dataclass(slots=True)
class ExchangeResult:
    """The part of a response that has been received so far.

    Attributes:
        outcome: See ``ProviderCall.outcome``; ``cancelled`` until a response head or an error
            is received.
        status: HTTP status; None until the response head is received.
        headers: Response headers by lower-case name.
    """

    # Remains if the task is cancelled before anything arrives.
    outcome: str = "cancelled"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def record_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Record the head of the response."""
        self.status, self.headers, self.outcome = status, headers, classify_status(status)

    def record_cancellation(self, duration_s: float) -> None:
        """Record that the caller gave up after so many seconds.

        If it had used at least half of the time that its read may take, the provider is slow.
        Earlier, it had waited for its slot, or has disconnected.
        """
        allowed_s = current_call().read_timeout_s
        if self.outcome == "cancelled" and allowed_s is not None and duration_s >= allowed_s / 2:
            self.outcome = ProviderTimeout.code

    def build_provider_call(
        self, connector: str, provider: ProviderKind, operation: Operation, duration_s: float
    ) -> ProviderCall:
        """Build the record of this exchange for metrics, budgets and logs."""
        return ProviderCall(
            connector=connector,
            provider=provider,
            operation=operation.name,
            write=operation.write,
            outcome=self.outcome,
            status=self.status,
            duration_s=duration_s,
            headers=self.headers,
            is_token_request=operation.is_token_request,
        )


def classify_status(status: int) -> str:
    """Return the outcome of an exchange with this response status."""
    if 200 <= status < 300:
        return "ok"
    return "redirected" if status in REDIRECT_STATUSES else "refused"


def build_path(segments: Collection[str]) -> str:
    """Build a path from segments, each fully quoted so that none can change the path's structure.

    Raises:
        ValueError: A segment is empty, ``.`` or ``..``.
    """
    return "".join(map(_quote_segment, segments))


def build_query(query: Mapping[str, str] | None) -> str:
    """Build ``?name=value&...``; an empty string for an empty query."""
    if not query:
        return ""
    pairs = [f"{_quote_query_text(name)}={_quote_query_text(v)}" for name, v in query.items()]
    return "?" + "&".join(pairs)


# Paths and queries repeat the same ids and dates, and quoting is a visible part of a call's cost.
@lru_cache(maxsize=4096)
def _quote_segment(segment: str) -> str:
    if segment in {"", ".", ".."}:
        raise ValueError("a path segment must not be empty, '.' or '..'")
    return "/" + quote(segment, safe="")


@lru_cache(maxsize=4096)
def _quote_query_text(text: str) -> str:
    return quote_plus(text)

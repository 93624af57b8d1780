"""What one call is made of: what is sent, until when, and what is told of it."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, quote_plus

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.provider_call import (
    ProviderCall,
)
from balance_gateway.providers.errors import Operation
from balance_gateway.providers.redirects import REDIRECTS


@dataclass(slots=True)
class Exchange:
    """What is to be sent, and what is left of its deadline.

    Attributes:
        about: what is being asked of whom.
        method: GET, PUT or POST.
        content: the body's bytes; empty for none.
        content_type: sent in any case.
        left_s: seconds left; what has been waited for takes off its time.
        empty_ok: whether an answer of 2xx may have no body.
        before_repeat: awaited before a read is sent again whose connection was closed unanswered.
    """

    about: Operation
    method: str
    content: bytes
    content_type: str
    left_s: float
    empty_ok: bool = False
    before_repeat: Callable[[], Awaitable[None]] | None = None


@dataclass(slots=True)
class ExchangeResult:
    """What has been seen of an exchange so far."""

    outcome: str = "cancelled"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes note of an answer's head."""
        self.status, self.headers, self.outcome = status, headers, classify_status(status)

    def call(
        self, connector: str, provider: ProviderKind, about: Operation, duration_s: float
    ) -> ProviderCall:
        """What is told of it."""
        return ProviderCall(
            connector=connector,
            provider=provider,
            operation=about.name,
            write=about.write,
            outcome=self.outcome,
            status=self.status,
            duration_s=duration_s,
            headers=self.headers,
        )


def classify_status(status: int) -> str:
    """The outcome of an exchange that was answered."""
    if 200 <= status < 300:
        return "ok"
    return "redirected" if status in REDIRECTS else "refused"


def build_path(segments: Collection[str]) -> str:
    """A path of segments, each quoted whole: none of them can lead elsewhere."""
    return "".join(map(_quoted, segments))


def build_query(query: Mapping[str, str] | None) -> str:
    """The question mark and what follows it; nothing for an empty query."""
    if not query:
        return ""
    return "?" + "&".join([f"{_plus(name)}={_plus(value)}" for name, value in query.items()])


@lru_cache(maxsize=4096)
def _quoted(segment: str) -> str:
    if segment in {"", ".", ".."}:
        raise ValueError("A path segment is empty or leads upwards")
    return "/" + quote(segment, safe="")


@lru_cache(maxsize=4096)
def _plus(text: str) -> str:
    return quote_plus(text)

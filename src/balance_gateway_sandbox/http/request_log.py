"""The log of provider requests: what was asked, by which credential, and how it was answered."""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.wire_format import (
    InvalidJSONError,
    encode_json,
    format_instant,
    parse_json,
    parse_media_type,
)

REQUESTS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 16_384
_SECRET: Final = frozenset({"client_secret", "client_id", "code", "refresh_token", "password"})


@dataclass(slots=True)
class LoggedRequest:
    """One request to a provider.

    Attributes:
        body: The JSON sent, or a form without its secrets; None when there was none.
        credential: The credential's name; None when the request carried none that is known.
        status: The answer's; None when none was sent, or not yet.
        fault: The kind of fault it met.
        handled: Whether the provider's code ran, hence whether a write took effect.
    """

    number: int
    at: datetime
    provider: Provider
    method: str
    path: str
    query: str
    body: Any
    credential: str | None
    status: int | None = None
    fault: str | None = None
    handled: bool = False

    def view(self) -> dict[str, Any]:
        """The record as `GET /_control/requests` tells it."""
        return asdict(self) | {"at": format_instant(self.at)}


class RequestLog:
    """The last `REQUESTS_MAX` requests and counts of all."""

    def __init__(self) -> None:
        self._records: deque[LoggedRequest] = deque(maxlen=REQUESTS_MAX)
        self._counts: Counter[str] = Counter()
        self._total = 0

    def add(
        self,
        *,
        at: datetime,
        provider: Provider,
        method: str,
        path: str,
        query: str,
        credential: str | None,
        body: Any,
    ) -> LoggedRequest:
        """Log a request as it arrives; its status and fault are filled in later."""
        self._total += 1
        self._counts[provider] += 1
        record = LoggedRequest(self._total, at, provider, method, path, query, body, credential)
        self._records.append(record)
        return record

    def build_report(self, provider: str | None, credential: str | None) -> dict[str, Any]:
        """The log: counts since the last clearing, and the records that fit the filters."""
        records = [
            record.view()
            for record in self._records
            if provider in (None, record.provider) and credential in (None, record.credential)
        ]
        return {"counts": dict(self._counts), "count": len(records), "requests": records}

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._counts.clear()


def sanitize_body(content_type: str, body: bytes) -> Any:
    """A request's body as the log keeps it: JSON, a form without secrets, or a word on its size."""
    if not body:
        return None
    if len(body) > BODY_BYTES_MAX:
        return {"unlogged_bytes": len(body)}
    if parse_media_type(content_type) == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=None)
        return {name: value for name, value in pairs if name not in _SECRET}
    try:
        logged = parse_json(body)
        encode_json(logged)  # A lone surrogate can be read as JSON but never be written again.
    except (InvalidJSONError, UnicodeEncodeError):
        return {"unreadable_bytes": len(body)}
    return logged

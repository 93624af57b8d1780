"""Log provider requests with their credentials, bodies and results."""

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
        body: The JSON body, or a form without its secrets. None if the body was empty.
        credential: The name of the credential. None if the request carried no known credential.
        status: The response status. None if no response was sent, or not yet.
        fault: The kind of the fault that was applied.
        handled: Whether the provider's code ran, so that a write took effect.
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
        """Return the request as `GET /_control/requests` shows it."""
        return asdict(self) | {"at": format_instant(self.at)}


class RequestLog:
    """The last `REQUESTS_MAX` requests, and counts of all requests."""

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
        """Log a request on arrival. Its status and fault are set later."""
        self._total += 1
        self._counts[provider] += 1
        record = LoggedRequest(self._total, at, provider, method, path, query, body, credential)
        self._records.append(record)
        return record

    def build_report(self, provider: str | None, credential: str | None) -> dict[str, Any]:
        """Return the counts since the last clear and the requests that match the filters."""
        records = [
            record.view()
            for record in self._records
            if provider in (None, record.provider) and credential in (None, record.credential)
        ]
        return {"counts": dict(self._counts), "count": len(records), "requests": records}

    def clear(self) -> None:
        """Remove all requests and counts."""
        self._records.clear()
        self._counts.clear()


def sanitize_body(content_type: str, body: bytes) -> Any:
    """Return a body for the log: JSON, a form without secrets, or only its size."""
    if not body:
        return None
    if len(body) > BODY_BYTES_MAX:
        return {"unlogged_bytes": len(body)}
    if parse_media_type(content_type) == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=None)
        return {name: value for name, value in pairs if name not in _SECRET}
    try:
        logged = parse_json(body)
        # A lone surrogate can be parsed as JSON but not encoded, which would break the log's view.
        encode_json(logged)
    except (InvalidJSONError, UnicodeEncodeError):
        return {"unreadable_bytes": len(body)}
    return logged

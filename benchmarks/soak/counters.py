"""Counts the requests and responses of the soak test's clients."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counters:
    """The counters of all clients.

    Attributes:
        requests: requests sent, by kind.
        statuses: HTTP statuses of responses.
        codes: codes of errors and of rejected writes.
        freshness: returned values, by freshness state.
        writes: mutations, by outcome.
        disconnected: requests with a client that disconnected on purpose.
        failed: descriptions of requests without a response.
        wrong: descriptions of responses that contradict the request or a write.
        internal: descriptions of INTERNAL errors.
    """

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    freshness: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    disconnected: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    internal: list[str] = field(default_factory=list)

    @property
    def response_count(self) -> int:
        """The number of responses, with any status."""
        return self.statuses.total()

    def count_response(self, kind: str, status: int, body: Any) -> None:
        """Count one response; ``body`` is the decoded JSON."""
        self.statuses[status] += 1
        if not isinstance(body, dict):
            self.wrong.append(f"{kind}: the response is not a JSON object")
            return
        if status == 500:
            self._count_code("INTERNAL", f"{kind}: {str(body)[:300]}")
        for error in body.get("errors", ()):
            self._count_code(
                str(error.get("extensions", {}).get("code")), f"{kind}: {str(error)[:300]}"
            )
        for item in _iterate_objects(body.get("data")):
            if item.get("freshness"):
                self.freshness[item["freshness"]["state"]] += 1
            outcome = str(item.get("__typename", ""))
            if outcome.startswith("OpeningBalance"):
                self.writes[outcome.removeprefix("OpeningBalance").lower()] += 1
                if "code" in item:
                    self._count_code(item["code"], f"{kind}: {str(item)[:300]}")

    def _count_code(self, code: str, description: str) -> None:
        self.codes[code] += 1
        if code == "INTERNAL":
            self.internal.append(description)


def _iterate_objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _iterate_objects(item)
    elif isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _iterate_objects(item)

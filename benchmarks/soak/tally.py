"""Counts what the clients saw."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Everything that was counted.

    Attributes:
        requests: sent, by kind.
        statuses: of HTTP answers.
        codes: of errors in answers, and of rejected writes.
        freshness: of the values answered, by state.
        writes: outcomes of mutations.
        gone: requests whose clients went away, as they meant to.
        unanswered: what became of requests that got no answer.
        wrong: answers that contradict what was asked or written.
    """

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    freshness: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    unanswered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    internal: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests that were answered, however."""
        return self.statuses.total()

    def answer(self, kind: str, status: int, body: Any) -> None:
        """Counts one answer."""
        self.statuses[status] += 1
        if not isinstance(body, dict):
            self.wrong.append(f"{kind}: the answer is no JSON object")
            return
        if status == 500:
            self._code("INTERNAL", f"{kind}: {str(body)[:300]}")
        for error in body.get("errors", ()):
            self._code(str(error.get("extensions", {}).get("code")), f"{kind}: {str(error)[:300]}")
        for item in _objects(body.get("data")):
            if item.get("freshness"):
                self.freshness[item["freshness"]["state"]] += 1
            outcome = str(item.get("__typename", ""))
            if outcome.startswith("OpeningBalance"):
                self.writes[outcome.removeprefix("OpeningBalance").lower()] += 1
                if "code" in item:
                    self._code(item["code"], f"{kind}: {str(item)[:300]}")

    def _code(self, code: str, told: str) -> None:
        self.codes[code] += 1
        if code == "INTERNAL":
            self.internal.append(told)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for one in value:
            yield from _objects(one)
    elif isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _objects(one)

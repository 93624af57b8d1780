"""The requests of a workload: a document with variables of which one part may vary."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.body_templates import BodyTemplate

Variables = dict[str, Any]

#: Responses that are compared before and after the measurement of varied requests.
SAMPLES = 12

#: States of freshness, and of the connectors, in a healthy run.
_STATES = {"LIVE", "CACHED", "UP"}


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of a workload, and the expected responses.

    Attributes:
        template: builds the request bodies.
        expect: returns the expected data of a response, simplified.
        simplify: reduces the data of a response to what is compared.
        codes: the codes of the expected errors.
    """

    template: BodyTemplate
    expect: Callable[[Variables], Any]
    simplify: Callable[[Any], Any] = field(default=lambda data: data)
    codes: tuple[str, ...] = ()

    def sample_bodies(self) -> list[bytes]:
        """Return the bodies whose responses are compared; the same ones for every server."""
        rng = random.Random(1)
        count = SAMPLES if self.template.shuffled else 1
        return [self.template.build_body(rng) for _ in range(count)]

    def find_problem(self, body: bytes, status: int, raw: bytes) -> str | None:
        """Describe the first problem of a response; None for a correct one."""
        if status != 200:
            return f"HTTP {status}: {raw[:200]!r}"
        response = json.loads(raw)
        codes = tuple(each["extensions"]["code"] for each in response.get("errors", ()))
        if codes != self.codes:
            return f"errors {codes}, not {self.codes}: {raw[:300]!r}"
        actual = self.simplify(remove_volatile(response["data"]))
        expected = self.expect(json.loads(body).get("variables", {}))
        if actual == expected:
            return None
        return f"got {str(actual)[:300]}, not {str(expected)[:300]}"


def remove_volatile(value: Any) -> Any:
    """Remove ages, and what is left of budgets; an unexpected state stays and fails the check."""
    if isinstance(value, list):
        return [remove_volatile(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, each in value.items():
        is_healthy = isinstance(each, dict) and each.get("state") in {*_STATES, None}
        if key not in ("freshness", "health", "budget") or not is_healthy:
            kept[key] = remove_volatile(each)
    return kept


def build_same(
    document: str,
    expect: Callable[[Variables], Any],
    *,
    simplify: Callable[[Any], Any] = lambda data: data,
    codes: tuple[str, ...] = (),
    **variables: Any,
) -> Requests:
    """Build requests that are all the same."""
    body = json.dumps({"query": document, "variables": variables}, separators=(",", ":"))
    template = BodyTemplate(body, "", "", False, 1, False, ("",))
    return Requests(template, expect, simplify, codes)


def build_shuffled(
    document: str,
    expect: Callable[[Variables], Any],
    ids: Sequence[str],
    count: int,
    *,
    first: Sequence[str] = (),
    codes: tuple[str, ...] = (),
    **variables: Any,
) -> Requests:
    """Build requests with random ids in the variable ``ids``, after the ``first`` ones of all."""
    others = "".join(f"{json.dumps(key)}:{json.dumps(each)}," for key, each in variables.items())
    start = "".join(f"{json.dumps(each)}," for each in first)
    head = f'{{"query":{json.dumps(document)},"variables":{{{others}"ids":[{start}'
    items = tuple(json.dumps(each) for each in ids)
    template = BodyTemplate(head, "]}}", ",", False, count, True, items)
    return Requests(template, expect, codes=codes)


def build_variants(
    document: str, expect: Callable[[Variables], Any], variants: Sequence[Variables]
) -> Requests:
    """Build requests that each have the variables of a random variant."""
    head = f'{{"query":{json.dumps(document)},"variables":'
    items = tuple(json.dumps(each, separators=(",", ":")) for each in variants)
    return Requests(BodyTemplate(head, "}", "", False, 1, True, items), expect)

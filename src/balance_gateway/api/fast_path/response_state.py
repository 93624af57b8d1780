"""One request: what it asks for, and its answer as far as it has come."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from balance_gateway.api.execution.engine import encode_json
from balance_gateway.api.fast_path.account_projection import BalanceArguments
from balance_gateway.api.fast_path.operation_plan import Root
from balance_gateway.api.request.context import RequestContext
from balance_gateway.ports.cache_validity import (
    CacheValidity,
)

FAR_S = float("inf")


@dataclass(slots=True)
class RootFieldState:
    """What one root field of one request comes to.

    Attributes:
        root: the root field.
        ids: the ids asked for, in order.
        arguments: of each balance field, in the entity's order.
        bodies: JSON per id, in order; None where it has still to be had.
        until_s: until when the bodies that are there count.
        marks: under what they count.
    """

    root: Root
    ids: Sequence[str]
    arguments: Sequence[BalanceArguments]
    bodies: list[bytes | None]
    until_s: float = FAR_S
    marks: list[CacheValidity] = field(default_factory=list)


@dataclass(slots=True)
class PartialResponse:
    """The answer to one request, as far as it has come.

    Attributes:
        context: the request's.
        wanted: per root field.
        slots: the string literals of a document that is one of many alike.
        errors: with their paths, as they are sent.
    """

    context: RequestContext
    wanted: list[RootFieldState]
    slots: Sequence[str]
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing has to be read."""
        return all(None not in wanted.bodies for wanted in self.wanted)

    def body(self) -> bytes:
        """The answer's JSON; everything has to be there."""
        members = [orjson.dumps(wanted.root.key) + b":" + _joined(wanted) for wanted in self.wanted]
        data = b'{"data":{' + b",".join(members) + b"}"
        if not self.errors:
            return data + b"}"
        return data + b',"errors":' + encode_json(self.errors) + b"}"

    @property
    def reads(self) -> int:
        """How many values are in it."""
        return sum(
            len(wanted.ids) * (len(wanted.root.entity.balances) + len(wanted.root.entity.openings))
            for wanted in self.wanted
        )

    def until_s(self) -> float:
        """Until when the same request would be answered the same, if all marks stand."""
        return min((wanted.until_s for wanted in self.wanted), default=0.0)

    def marks(self) -> tuple[CacheValidity, ...]:
        """Under what the fragments in it count."""
        return tuple(chain.from_iterable(wanted.marks for wanted in self.wanted))


def _joined(wanted: RootFieldState) -> bytes:
    bodies: list[bytes] = wanted.bodies  # type: ignore[assignment]
    return b"[" + b",".join(bodies) + b"]" if wanted.root.is_list else bodies[0]

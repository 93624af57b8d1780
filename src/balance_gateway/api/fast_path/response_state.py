"""Holds the state of one request while its response is built.

``response_builder`` creates a ``PartialResponse`` with one ``RootFieldState`` per root field, fills
the bodies from cached account JSON and, through ``missing_reads``, from reads. The engine then
encodes it and, if all of it came from the cache, caches the response under its validities.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from balance_gateway.api.fast_path.account_projection import BalanceArguments
from balance_gateway.api.fast_path.operation_plan import Root
from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.ports.cache_validity import CacheValidity

NEVER_EXPIRES_S = float("inf")


@dataclass(slots=True)
class RootFieldState:
    """The state of one root field in one request.

    Attributes:
        root: the compiled root field.
        ids: the requested account ids, in order.
        arguments: of each balance field, in the order of the projection.
        bodies: the account JSON of each id, in order; None where it is missing.
        valid_until_s: end of validity of the present bodies, in seconds since 1970.
        validities: of the bodies that came from the cache.
    """

    root: Root
    ids: Sequence[str]
    arguments: Sequence[BalanceArguments]
    bodies: list[bytes | None]
    valid_until_s: float = NEVER_EXPIRES_S
    validities: list[CacheValidity] = field(default_factory=list)


@dataclass(slots=True)
class PartialResponse:
    """The response to one request, complete or with missing account JSON.

    Attributes:
        context: the context of the request.
        root_fields: the state of each root field, in the order of the response.
        slot_values: the string literals of the query, when the plan comes from a template.
        errors: formatted GraphQL errors, with their paths.
    """

    context: RequestContext
    root_fields: list[RootFieldState]
    slot_values: Sequence[str]
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether no account JSON is missing."""
        return all(None not in root_field.bodies for root_field in self.root_fields)

    def encode(self) -> bytes:
        """Encode the response as JSON; it must be complete."""
        members = [
            orjson.dumps(root_field.root.key) + b":" + _join_bodies(root_field)
            for root_field in self.root_fields
        ]
        data = b'{"data":{' + b",".join(members) + b"}"
        if not self.errors:
            return data + b"}"
        return data + b',"errors":' + encode_json(self.errors) + b"}"

    @property
    def read_count(self) -> int:
        """The number of balances and opening balances in the response."""
        return sum(
            len(root_field.ids)
            * (
                len(root_field.root.projection.balance_fields)
                + len(root_field.root.projection.opening_balance_fields)
            )
            for root_field in self.root_fields
        )

    def valid_until_s(self) -> float:
        """Return until when an equal request gets the same response, if all validities hold."""
        return min((root_field.valid_until_s for root_field in self.root_fields), default=0.0)

    def validities(self) -> tuple[CacheValidity, ...]:
        """Return the validities of all cached account JSON in the response."""
        return tuple(chain.from_iterable(root_field.validities for root_field in self.root_fields))


def _join_bodies(root_field: RootFieldState) -> bytes:
    bodies: list[bytes] = root_field.bodies  # type: ignore[assignment]
    return b"[" + b",".join(bodies) + b"]" if root_field.root.is_list else bodies[0]

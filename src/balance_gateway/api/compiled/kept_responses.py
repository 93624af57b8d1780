"""Keeps whole responses, by the rights of the caller and the bytes of the request.

A kept response depends on validities, and on time through its holes. It is answered while all
validities hold; its holes are filled again when their text has changed. The response of a compiled
plan is kept from the second time on (``seen_keys.py``): it is made from kept parts.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from balance_gateway.api.compiled.account_blocks import count_validities
from balance_gateway.api.compiled.holes import (
    NO_CONNECTOR_HOLES,
    ConnectorHoles,
    Moment,
    Part,
    estimate_connector_bytes,
)
from balance_gateway.api.compiled.kept_values import StoredValidity
from balance_gateway.api.compiled.output import Output, join_around_holes
from balance_gateway.api.compiled.seen_keys import SeenKeys
from balance_gateway.api.execution.engine import PARTIAL_SUCCESS, GraphQLResponse
from balance_gateway.api.request.dependencies import Dependencies
from balance_gateway.domain.access import Principal
from balance_gateway.ports.cache_validity import Validity
from balance_gateway.service.gateway import HealthTracker

#: Limit of all kept responses together: request and response bodies, and an estimate of the memory
#: that Python objects add to each response and to each validity that it refers to. One response may
#: have an eighth of it.
KEPT_RESPONSE_BYTES_MAX = 64_000_000
_RESPONSE_BYTES_SHARE = 8
_RESPONSE_OVERHEAD_BYTES = 800
_VALIDITY_BYTES = 8
_HOLE_BYTES = 100

#: Whoever has equal rights sees an equal response, except for fields about the caller itself.
_ResponseKey = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class KeptResponse:
    """A response, and the conditions under which an equal request gets an equal one.

    Attributes:
        parts: the text, and the holes in it; a tuple once adjacent text was joined.
        response: the response as it was last filled.
        filled_until_s: until when it stays the same, in seconds since 1970, if the
            connectors do.
        connectors: the connectors with marks in the text.
        connector_changes: the number of changes of each connector in it, when it was filled.
        valid_until_s: end of validity, in seconds since 1970.
        validities: each must be valid.
        stored: the validity of the storage, if a value of it is in the response.
        changes: the change counter of the cache versions when all validities were last checked.
        value_count: number of values in it.
        size_bytes: an estimate of its memory, with its key.
    """

    parts: Sequence[Part]
    response: GraphQLResponse
    filled_until_s: float
    connectors: ConnectorHoles
    connector_changes: Mapping[str, int]
    valid_until_s: float
    validities: Sequence[Validity]
    stored: StoredValidity | None
    changes: int
    value_count: int
    size_bytes: int = field(default=0)

    def is_valid(self, changes: int) -> bool:
        """Whether no value in it has been replaced, or dropped by a write.

        Args:
            changes: the current change counter of the cache versions.
        """
        # While the counter is the same, no validity of any account has ended.
        if self.changes != changes:
            if not all(validity.is_valid for validity in self.validities):
                return False
            self.changes = changes
        return self.stored is None or self.stored.is_valid

    def fill(self, now: datetime, now_s: float, tracker: HealthTracker) -> GraphQLResponse:
        """Return the response at an instant."""
        changes = self.connector_changes
        if now_s < self.filled_until_s and (
            not changes
            or all(tracker.count_changes(name) == count for name, count in changes.items())
        ):
            return self.response
        if not isinstance(self.parts, tuple):
            self.parts = join_around_holes(self.parts)
        moment = Moment(now, tracker, now_s)
        body = moment.fill(self.parts, self.connectors)
        self.response = GraphQLResponse(body, self.response.status)
        self.filled_until_s = moment.unchanged_until_s
        self.connector_changes = moment.connector_changes
        return self.response


def build_kept_response(
    output: Output,
    parts: Sequence[Part],
    response: GraphQLResponse,
    moment: Moment,
    changes: int,
) -> KeptResponse | None:
    """Build what is kept of a response.

    Args:
        output: the output of its execution.
        parts: its text with errors, and the holes in it.
        response: the response as it is sent now.
        moment: the instant at which it was filled.
        changes: the current change counter of the cache versions.

    Returns:
        None if the next equal request may get another response.
    """
    validities = output.collect_validities(output.state.now_s)
    if validities is None:
        return None
    stored: list[StoredValidity] = []
    if StoredValidity in set(map(type, validities)):
        stored = [each for each in validities if isinstance(each, StoredValidity)]
        validities = [each for each in validities if not isinstance(each, StoredValidity)]
    if any(not each.is_same(stored[0]) for each in stored[1:]):
        return None
    return KeptResponse(
        parts=parts,
        response=response,
        filled_until_s=moment.unchanged_until_s,
        connectors=frozenset(output.connectors),
        connector_changes=moment.connector_changes,
        valid_until_s=output.valid_until_s,
        validities=validities,
        stored=stored[0] if stored else None,
        changes=changes,
        value_count=output.value_count,
    )


def build_kept_core_response(
    dependencies: Dependencies, response: GraphQLResponse, now_s: float, changes: int
) -> KeptResponse | None:
    """Build what is kept of a response of graphql-core; it has no holes.

    Args:
        dependencies: what it depends on.
        response: the response.
        now_s: the instant of the request, in seconds since 1970.
        changes: the current change counter of the cache versions.

    Returns:
        None if the next equal request may get another response.
    """
    validities = dependencies.validities
    is_refusal = response.status not in (200, PARTIAL_SUCCESS)
    if is_refusal or dependencies.valid_until_s <= now_s:
        return None
    if not all(each.is_valid for each in validities if not isinstance(each, StoredValidity)):
        return None
    stored = next((each for each in validities if isinstance(each, StoredValidity)), None)
    return KeptResponse(
        parts=[response.body],
        response=response,
        filled_until_s=dependencies.valid_until_s,
        connectors=NO_CONNECTOR_HOLES,
        connector_changes={},
        valid_until_s=dependencies.valid_until_s,
        validities=[each for each in validities if each is not stored],
        stored=stored,
        changes=changes,
        value_count=0,
    )


class KeptResponses:
    """The kept responses of this process; the oldest are dropped first.

    Args:
        bytes_max: limit of all responses together; one may have an eighth of it.
    """

    def __init__(self, bytes_max: int = KEPT_RESPONSE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._responses: OrderedDict[_ResponseKey, KeptResponse | None] = OrderedDict()
        self._seen = SeenKeys()
        self.size_bytes = 0

    def is_asked_again(self, principal: Principal, body: bytes) -> bool:
        """Note a request; return whether it was sent before by a caller with the same rights."""
        return self._seen.note((principal.tenant, principal.scopes, body))

    def find(self, principal: Principal, body: bytes) -> KeptResponse | None:
        """Return the response that was kept for a request of a caller with the same rights."""
        key = (principal.tenant, principal.scopes, body)
        kept = self._responses.get(key)
        if kept is None and key in self._responses:
            # The response is about the caller.
            kept = self._responses.get((*key, principal.name, principal.expires_at))
        return kept

    def store(
        self, principal: Principal, body: bytes, kept: KeptResponse, *, shows_principal: bool
    ) -> None:
        """Keep a response in place of an older one, unless it is too large.

        Args:
            principal: the caller.
            body: the bytes of the request.
            kept: the response.
            shows_principal: whether it is about the caller.
        """
        kept.size_bytes = _estimate_bytes(kept, body)
        if kept.size_bytes > self._bytes_max // _RESPONSE_BYTES_SHARE:
            return
        key: _ResponseKey = (principal.tenant, principal.scopes, body)
        if shows_principal:
            self._put(key, None)
            key = (*key, principal.name, principal.expires_at)
        self._put(key, kept)
        while self.size_bytes > self._bytes_max:
            _, dropped = self._responses.popitem(last=False)
            self.size_bytes -= _get_bytes(dropped)

    def drop(self, principal: Principal, body: bytes) -> None:
        """Drop the response to a request, which is kept again at the next time."""
        key: _ResponseKey = (principal.tenant, principal.scopes, body)
        self._seen.note(key)
        for each in (key, (*key, principal.name, principal.expires_at)):
            if each in self._responses:
                self.size_bytes -= _get_bytes(self._responses.pop(each))

    def _put(self, key: _ResponseKey, kept: KeptResponse | None) -> None:
        if key in self._responses:
            self.size_bytes -= _get_bytes(self._responses.pop(key))
        self._responses[key] = kept
        self.size_bytes += _get_bytes(kept)

    def __len__(self) -> int:
        return len(self._responses)


def _get_bytes(kept: KeptResponse | None) -> int:
    # A mark for responses about the caller has the key of the request too.
    return _RESPONSE_OVERHEAD_BYTES if kept is None else kept.size_bytes


def _estimate_bytes(kept: KeptResponse, body: bytes) -> int:
    holes = len(kept.parts) // 2
    text_bytes = len(kept.response.body) * (2 if holes else 1)
    # The key of the request is counted twice for responses about the caller.
    return (
        2 * len(body)
        + text_bytes
        + holes * _HOLE_BYTES
        + estimate_connector_bytes(kept.connectors)
        + count_validities(kept.validities) * _VALIDITY_BYTES
        + _RESPONSE_OVERHEAD_BYTES
    )

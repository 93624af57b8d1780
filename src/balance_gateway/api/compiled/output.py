"""Holds what is written for one response, or for one part of it that is kept by itself.

Writers append text and *holes*. A hole stands for text that changes with time alone, such as an
age; ``holes`` fills it when the response is sent. Beside the text, an output records what it
depends on: while these conditions hold, the same text would be written again.
"""

from collections.abc import Iterable, Sequence

from balance_gateway.api.compiled.field_errors import FieldError, KeyPath
from balance_gateway.api.compiled.holes import (
    MARK_SIGN,
    ConnectorHole,
    Hole,
    Part,
)
from balance_gateway.api.compiled.request_state import RequestState
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.cache_validity import CacheTerms, CacheValidity, Validity

NEVER_EXPIRES_S = float("inf")
ALWAYS_VALID = CacheValidity()


class MissingValue(Exception):
    """A value is missing for which a pass may not wait."""


class Output:
    """The JSON of a response, or of a part of it, while it is written.

    Args:
        state: the state of the request.

    Attributes:
        state: the state of the request.
        parts: the text, and the holes in it.
        errors: of fields that were written as null.
        indexes: of the list items that are being written, outermost first.
        has_holes: whether there are holes, or marks of connectors.
        connectors: the connectors with marks in the text.
        has_blocks: whether there are texts that keep their hash.
        is_complete: False if a value is missing; it has then been requested.
        valid_until_s: end of validity in seconds since 1970; 0 if the text must not be kept.
        validities: of the kept parts in the text, which were valid when they were written.
        value_count: number of values in the text.
        shows_principal: whether the text depends on who asks, not only on the rights.
    """

    __slots__ = (
        "_terms",
        "connectors",
        "errors",
        "has_blocks",
        "has_holes",
        "indexes",
        "is_complete",
        "parts",
        "shows_principal",
        "state",
        "valid_until_s",
        "validities",
        "value_count",
    )

    def __init__(self, state: RequestState) -> None:
        self.state = state
        self.parts: list[Part] = []
        self.errors: list[FieldError] = []
        self.indexes: list[int] = []
        self.has_holes = False
        self.connectors: set[ConnectorHole] = set()
        self.has_blocks = False
        self.is_complete = True
        self.valid_until_s = NEVER_EXPIRES_S
        self.validities: list[Validity] = []
        self.value_count = 0
        self.shows_principal = False
        self._terms: list[CacheTerms] = []

    @property
    def depends_on_more(self) -> bool:
        """Whether the text depends on a value, or on time, besides what it was written from."""
        return bool(
            self._terms
            or self.validities
            or self.shows_principal
            or self.valid_until_s != NEVER_EXPIRES_S
        )

    def add_hole(self, hole: Hole) -> None:
        """Leave a place in the text that is filled when it is sent."""
        self.has_holes = True
        self.parts.append(hole)

    def add_connector(self, hole: ConnectorHole) -> None:
        """Write the mark of a connector, which is replaced by its JSON when the text is sent."""
        self.has_holes = True
        self.parts.append(b"%b%b%b" % (MARK_SIGN, hole.mark, MARK_SIGN))
        self.connectors.add(hole)

    def forbid_keeping(self) -> None:
        """Note that the next equal request may get another text."""
        self.valid_until_s = 0.0

    def expire_at(self, until_s: float) -> None:
        """Limit the validity of the text to an instant in seconds since 1970."""
        self.valid_until_s = min(self.valid_until_s, until_s)

    def depend_on(self, terms: CacheTerms | None) -> None:
        """Record the conditions of a value in the text; None: the text must not be kept."""
        self.value_count += 1
        if terms is None:
            self.valid_until_s = 0.0
        else:
            self._terms.append(terms)
            self.valid_until_s = min(self.valid_until_s, terms.until_s)

    def depend_on_all(self, terms: Sequence[CacheTerms | None]) -> None:
        """Record the conditions of several values; see ``depend_on``."""
        self.value_count += len(terms)
        known = [each for each in terms if each is not None]
        if len(known) < len(terms):
            self.valid_until_s = 0.0
        elif known:
            self._terms += known
            self.expire_at(min([each.until_s for each in known]))

    def write_missing(self) -> None:
        """Write a placeholder for a value that has been requested.

        Raises:
            MissingValue: the request has to wait for the value, and this pass may not.
        """
        if not self.state.can_continue:
            raise MissingValue
        self.is_complete = False
        self.parts.append(b"null")

    def fail(self, keys: KeyPath, error: GatewayError) -> None:
        """Write null for a field, and record its error."""
        self.parts.append(b"null")
        self.errors.append(FieldError(keys, tuple(self.indexes), error))

    def add_errors(self, errors: Iterable[FieldError], site: KeyPath) -> None:
        """Record the errors of a part.

        Args:
            errors: with paths below the root of the part.
            site: the path of the part.
        """
        indexes = tuple(self.indexes)
        for each in errors:
            error = FieldError(site + each.keys, indexes + each.indexes, each.error)
            self.errors.append(error)

    def collect_validities(self, now_s: float) -> Sequence[Validity] | None:
        """Return the validities under which the text stays the same, at least one.

        Must be called in the turn of the event loop in which the text was written.

        Args:
            now_s: the present, in seconds since 1970.

        Returns:
            None if the text must not be kept: it expires at once, or a validity has ended.
        """
        if self.valid_until_s <= now_s:
            return None
        if not self._terms:
            return self.validities or (ALWAYS_VALID,)
        read = [terms.validity for terms in self._terms]
        # A stored value is checked when the text is used: it says in which version it was read.
        if not all(each.is_valid for each in read if isinstance(each, CacheValidity)):
            return None
        return [*read, *self.validities]

    def join(self) -> tuple[Part, ...]:
        """Return the parts with adjacent text joined."""
        if self.has_holes:
            return join_around_holes(self.parts)
        texts: list[bytes] = self.parts  # type: ignore[assignment]
        return (b"".join(texts),)


def join_around_holes(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return parts with adjacent text joined."""
    joined: list[Part] = []
    text: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            text.append(part)
            continue
        if text:
            joined.append(b"".join(text))
            text = []
        joined.append(part)
    if text:
        joined.append(b"".join(text))
    return tuple(joined)

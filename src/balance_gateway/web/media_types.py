"""Negotiate media types and codings by request headers, and recognise JSON bodies."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"

#: The content codings, the preferred one first.
CODINGS = ("zstd", "gzip")
_CODING_ALIASES = {"x-gzip": "gzip"}

#: Longer headers are parsed each time, so that unauthenticated requests cannot fill the memory.
_CACHED_CHARACTERS_MAX = 200

_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


class Coding(NamedTuple):
    """The content coding that a client prefers.

    Attributes:
        name: its name; empty for none.
        allows_identity: whether the client also accepts a body without a coding.
    """

    name: str
    allows_identity: bool


def _cache_short_headers(
    parse: Callable[[str | None], Result],
) -> Callable[[str | None], Result]:
    """Cache the results for short headers, which are the ones that most clients repeat."""
    cached = lru_cache(maxsize=256)(parse)

    @wraps(parse)
    def look_up(header: str | None) -> Result:
        if header is None or len(header) <= _CACHED_CHARACTERS_MAX:
            return cached(header)
        return parse(header)

    return look_up


@_cache_short_headers
def negotiate(accept: str | None) -> str | None:
    """Return the media type that the client prefers, or None when it accepts neither.

    The result is ``application/json`` without an Accept header and when both types match a
    wildcard with equal quality, as under ``*/*``. If both types are named with equal quality, the
    first one wins.
    """
    if accept is None or not accept.strip():
        return JSON
    best: tuple[float, int, int] | None = None
    chosen: str | None = None
    for media_type, fallback_order in ((JSON, 0), (GRAPHQL_RESPONSE, 1)):
        quality, specificity, position = _preference(accept, media_type)
        if quality <= 0:
            continue
        order = -position if specificity == 2 else -1000 - fallback_order
        if best is None or (quality, specificity, order) > best:
            best, chosen = (quality, specificity, order), media_type
    return chosen


def _preference(accept: str, media_type: str) -> tuple[float, int, int]:
    """Return a media type's quality, the match's specificity (0 to 2) and its position."""
    best = (0.0, -1, 0)
    for position, item in enumerate(accept.lower().split(",")[:100]):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        specificity = {"*/*": 0, "application/*": 1, media_type: 2}.get(media_range)
        if specificity is not None and specificity > best[1]:
            best = (_parse_quality(parameters), specificity, position)
    return best


def _parse_quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0


@_cache_short_headers
def choose_coding(accept_encoding: str | None) -> Coding:
    """Return the content coding that the client prefers (RFC 9110, 12.5.3).

    At equal quality a coding that is named wins over one that only ``*`` matches, then zstd over
    gzip over none. Without the header, and where it allows nothing that there is, the body is sent
    as it is.
    """
    qualities: dict[str, float] = {}
    for item in (accept_encoding or "").lower().split(",")[:100]:
        name, *parameters = (part.strip() for part in item.split(";"))
        qualities[_CODING_ALIASES.get(name, name)] = _parse_quality(parameters)
    others = qualities.get("*", 0.0)

    def rank(name: str) -> tuple[float, bool]:
        return qualities.get(name, others), name in qualities

    chosen = max(CODINGS, key=rank)
    quality = qualities.get(chosen, others)
    if quality == 0 or quality < qualities.get("identity", 0.0):
        return Coding("", allows_identity=True)
    # Unlike the others, no coding is acceptable unless it is refused.
    identity = qualities.get("identity", qualities.get("*", 1.0))
    return Coding(chosen, allows_identity=identity > 0)


@_cache_short_headers
def is_json(content_type: str | None) -> bool:
    """Return whether a Content-Type declares JSON in UTF-8."""
    if content_type is None:
        return False
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [each for each in parameters if each.startswith("charset=")]
    return media_type == JSON and all(
        charset.removeprefix("charset=").strip('"') in ("utf-8", "utf8") for charset in charsets
    )

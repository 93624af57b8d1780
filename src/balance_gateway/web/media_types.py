"""Which media type to answer in: the two of GraphQL over HTTP, by Accept and its q-values."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

Verdict = TypeVar("Verdict")

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"

#: Longer headers are looked at anew each time: nobody without a credential fills the memory.
_REMEMBERED_MAX = 200

_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def _remembered(of: Callable[[str | None], Verdict]) -> Callable[[str | None], Verdict]:
    """Remembers what is found in the headers that come again and again, which are short."""
    known = lru_cache(maxsize=256)(of)

    @wraps(of)
    def look(header: str | None) -> Verdict:
        return known(header) if header is None or len(header) <= _REMEMBERED_MAX else of(header)

    return look


@_remembered
def negotiate(accept: str | None) -> str | None:
    """The media type the client likes best; None when it takes neither.

    Without an Accept header, and where both are liked equally, as under ``*/*``, it is
    ``application/json``; where both are *named* with one quality, the one named first.
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
    """The quality of a media type, how closely it is named (0 to 2), and where."""
    found = (0.0, -1, 0)
    for position, item in enumerate(accept.lower().split(",")[:100]):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        specificity = {"*/*": 0, "application/*": 1, media_type: 2}.get(media_range)
        if specificity is not None and specificity > found[1]:
            found = (_quality(parameters), specificity, position)
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0


@_remembered
def is_json(content_type: str | None) -> bool:
    """Whether a body is JSON in UTF-8, by its Content-Type."""
    if content_type is None:
        return False
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [each for each in parameters if each.startswith("charset=")]
    return media_type == JSON and all(
        charset.removeprefix("charset=").strip('"') in ("utf-8", "utf8") for charset in charsets
    )

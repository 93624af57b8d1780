"""Read from the head of a request what an answer at once needs, once for all equal heads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.server.known_heads import RequestHead
from balance_gateway.web.auth import parse_bearer_token
from balance_gateway.web.media_types import is_json, negotiate
from balance_gateway.web.request_headers import decode_header, headers_by_name
from balance_gateway.web.response_encoding import Accepted, parse_accepted

_GET = b"GET "


@dataclass(frozen=True, slots=True)
class AskedHead:
    """What the head of a request says.

    Attributes:
        token: the bearer token; None if anything about the head is unusual or wrong, so that the
            request is not answered at once.
        query_string: the query string of a GET; None for a POST.
        key: the key under which the response is kept; None: it is the body.
        body_bytes: the length of the body.
        accepted: what the request accepts as its response.
        request_id: the value of X-Request-Id; None without it.
        origin: the value of Origin; None without it.
    """

    token: str | None = field(repr=False)
    query_string: bytes | None
    key: bytes | None
    body_bytes: int
    accepted: Accepted
    request_id: bytes | None
    origin: bytes | None


def parse_head(head: RequestHead) -> AskedHead:
    """Read the head of a request; raises nothing."""
    headers = headers_by_name(head.headers)
    is_post = head.method == "POST"
    media_type = negotiate(decode_header(headers.get(b"accept")))
    is_usual = _has_usual_body(headers) if is_post else head.method == "GET"
    try:
        token = parse_bearer_token(headers.get(b"authorization"))
    except Unauthenticated:
        is_usual, token = False, ""
    return AskedHead(
        token=token if is_usual and media_type is not None else None,
        query_string=None if is_post else head.query_string,
        key=None if is_post else build_key(head.query_string),
        body_bytes=int(headers.get(b"content-length", 0)) if is_usual else 0,
        accepted=parse_accepted(headers, media_type, is_post=is_post),
        request_id=headers.get(b"x-request-id"),
        origin=headers.get(b"origin"),
    )


def build_key(query_string: bytes) -> bytes:
    """Build the key under which the response to a GET is kept; that of a POST is its body."""
    return _GET + query_string


def is_like_get(body: bytes) -> bool:
    """Whether a body, which cannot be JSON then, is like the key of a GET."""
    return body.startswith(_GET)


def _has_usual_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the headers name JSON that is sent as it is."""
    return (
        is_json(decode_header(headers.get(b"content-type")))
        and b"content-encoding" not in headers
        and b"transfer-encoding" not in headers
    )

"""Serve static files from memory, compressed where the client accepts it, with entity tags."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway.web.compression import compress
from balance_gateway.web.media_types import CODINGS, choose_coding

STATIC = Path(__file__).parent / "static"

#: Files are compressed once in a process, at the start.
_LEVEL = 9

# The key that a user enters must not reach another origin, and no other origin may frame the page.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
    "vary": "Accept-Encoding",
}


def build_static_route(path: str, name: str, media_type: str) -> Route:
    """Build the route of a static file under a policy that allows this origin's resources only.

    Args:
        path: the URL path.
        name: the file name in ``static``.
        media_type: the value of Content-Type.
    """
    bodies = _read_bodies(name)
    tag = hashlib.sha256(bodies[""]).hexdigest()[:32]

    async def serve(request: Request) -> Response:
        coding = choose_coding(request.headers.get("accept-encoding")).name
        etag = f'"{tag}-{coding}"' if coding else f'"{tag}"'
        headers = {"etag": etag, **_HEADERS}
        if is_known(etag, ", ".join(request.headers.getlist("if-none-match"))):
            return Response(status_code=304, headers=headers)
        headers["content-type"] = media_type
        if coding:
            headers["content-encoding"] = coding
        return Response(bodies[coding], headers=headers)

    return Route(path, serve, methods=["GET", "HEAD"], name=name)


@cache
def _read_bodies(name: str) -> dict[str, bytes]:
    """Return the content of a file by coding; the coding of the file itself is empty."""
    content = (STATIC / name).read_bytes()
    return {coding: compress(content, coding, _LEVEL) for coding in CODINGS} | {"": content}


def is_known(etag: str, if_none_match: str) -> bool:
    """Return whether a client has the representation with this tag.

    Args:
        etag: the strong tag of the representation.
        if_none_match: the value of If-None-Match; empty without it.
    """
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (etag, "*") for tag in tags)

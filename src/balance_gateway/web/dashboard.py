"""The dashboard at /: one static page that asks /graphql with a key the reader types in."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/money.js": ("money.js", "text/javascript; charset=utf-8"),
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
}

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def dashboard_routes() -> list[Route]:
    """The page's routes; its files are read once."""
    return [static_route(path, name, media_type) for path, (name, media_type) in _FILES.items()]


def static_route(path: str, name: str, media_type: str) -> Route:
    """The route of one of our own static files, under a policy that takes nothing from elsewhere.

    Args:
        path: where it is asked for.
        name: the file in ``static``.
        media_type: what it is.
    """
    content = (_STATIC / name).read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(content, headers={"content-type": media_type, **_HEADERS})

    return Route(path, serve, methods=["GET", "HEAD"], name=name)

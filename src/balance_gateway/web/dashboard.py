"""Serve the dashboard at /: a static page that queries /graphql with a key the user enters."""

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
}


def build_dashboard_routes() -> list[Route]:
    """Build the routes of the dashboard's files, which are read once, here."""
    return [
        build_static_route(path, name, media_type) for path, (name, media_type) in _FILES.items()
    ]


def build_static_route(path: str, name: str, media_type: str) -> Route:
    """Build the route of a static file under a policy that allows this origin's resources only.

    Args:
        path: the URL path.
        name: the file name in ``static``.
        media_type: the value of Content-Type.
    """
    content = (_STATIC / name).read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(content, headers={"content-type": media_type, **_HEADERS})

    return Route(path, serve, methods=["GET", "HEAD"], name=name)

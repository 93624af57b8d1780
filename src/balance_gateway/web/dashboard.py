"""Serve the dashboard at /: a static page that queries /graphql.

The user pastes a key, or a proxy in front signs people in and adds ``Authorization`` to their
requests: the page asks ``/page/credential`` whether one arrives, and then asks for no key.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from balance_gateway.web.static_files import STATIC, build_static_route

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def build_dashboard_routes() -> list[Route]:
    """Build the routes of the dashboard: its files, which are read once, and its question."""
    modules = sorted(
        path.relative_to(STATIC)
        for path in (STATIC / "page").iterdir()
        if path.suffix in _MEDIA_TYPES
    )
    return [
        build_static_route("/", "index.html", "text/html; charset=utf-8"),
        build_static_route("/favicon.svg", "favicon.svg", "image/svg+xml"),
        *(build_static_route(f"/{path}", str(path), _MEDIA_TYPES[path.suffix]) for path in modules),
        Route("/page/credential", find_credential, methods=["GET"]),
    ]


async def find_credential(request: Request) -> Response:
    """Say whether the request has a credential, valid or not, that the page did not add."""
    headers = {"cache-control": "no-store", "vary": "Authorization"}
    return JSONResponse({"present": "authorization" in request.headers}, headers=headers)

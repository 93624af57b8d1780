"""Serve the dashboard at /: a static page that queries /graphql with a key the user enters."""

from starlette.routing import Route

from balance_gateway.web.static_files import build_static_route

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/money.js": ("money.js", "text/javascript; charset=utf-8"),
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
}


def build_dashboard_routes() -> list[Route]:
    """Build the routes of the dashboard's files, which are read once, here."""
    return [
        build_static_route(path, name, media_type) for path, (name, media_type) in _FILES.items()
    ]

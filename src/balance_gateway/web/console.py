"""Serve the query console at /graphiql: a static page that sends queries to /graphql.

The console is served only with ``server.graphiql = true``. It is not the GraphiQL application that
the setting is named after, which loads megabytes of third-party script, but a page of a few
kilobytes served by the gateway under the dashboard's content security policy. The page has no
permissions of its own: it queries /graphql with the key or token that the user enters, which stays
in the browser tab.
"""

from starlette.routing import Route

from balance_gateway.web.static_files import build_static_route

_FILES = {
    "/graphiql": ("console.html", "text/html; charset=utf-8"),
    "/graphiql.css": ("console.css", "text/css; charset=utf-8"),
    "/graphiql.js": ("console.js", "text/javascript; charset=utf-8"),
    "/graphiql-schema.js": ("console_schema.js", "text/javascript; charset=utf-8"),
}


def build_console_routes() -> list[Route]:
    """Build the routes of the console's files, which are read once, here."""
    return [
        build_static_route(path, name, media_type) for path, (name, media_type) in _FILES.items()
    ]

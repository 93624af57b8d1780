"""The query console at /graphiql: one static page that sends what is typed in to /graphql.

It is there with ``server.graphiql = true`` only. It is a page of our own and not the GraphiQL that
the setting is named after: that one is megabytes of script from elsewhere, this one is a few
kilobytes served from here, under the dashboard's policy. It has no rights of its own either: it
asks /graphql with the key or token that is typed in, which stays in the browser's tab.
"""

from starlette.routing import Route

from balance_gateway.web.dashboard import static_route

_FILES = {
    "/graphiql": ("console.html", "text/html; charset=utf-8"),
    "/graphiql.css": ("console.css", "text/css; charset=utf-8"),
    "/graphiql.js": ("console.js", "text/javascript; charset=utf-8"),
    "/graphiql-schema.js": ("console_schema.js", "text/javascript; charset=utf-8"),
}


def console_routes() -> list[Route]:
    """The page's routes; its files are read once."""
    return [static_route(path, name, media_type) for path, (name, media_type) in _FILES.items()]

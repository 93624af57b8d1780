"""Decide which pages of other origins may call /graphql, and with which headers.

Starlette answers the preflights. The headers of all other responses are constants that the endpoint
sends itself: Starlette's middleware would wrap ``send``, and no response could be written directly.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

#: Headers that browsers' GraphQL clients and tracing libraries add to requests.
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "X-Request-Id",
    "X-Requested-With",
    "apollo-require-preflight",
    "apollographql-client-name",
    "apollographql-client-version",
    "b3",
    "baggage",
    "graphql-client-name",
    "graphql-client-version",
    "newrelic",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-apollo-operation-id",
    "x-apollo-operation-name",
    "x-apollo-operation-type",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    "x-graphql-client-name",
    "x-graphql-client-version",
)

_EXPOSED_HEADERS = "X-Request-Id, Retry-After, ETag"
_MAX_AGE_S = 600


class CorsPolicy:
    """The origins with pages that may call /graphql.

    Args:
        origins: the origins as browsers send them; ``*`` allows all of them.
        headers: request headers that are allowed besides ``ALLOWED_HEADERS``.
    """

    def __init__(self, origins: Sequence[str], headers: Sequence[str] = ()) -> None:
        self._preflights = CORSMiddleware(
            _NO_APP,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=[*ALLOWED_HEADERS, *headers],
            max_age=_MAX_AGE_S,
        )
        self.allows_all = "*" in origins
        self._values = {b"*"} if self.allows_all else {origin.encode() for origin in origins}

    @property
    def allowed_values(self) -> frozenset[bytes]:
        """All values that Access-Control-Allow-Origin can have."""
        return frozenset(self._values)

    def find_allowed_value(self, origin: bytes | None) -> bytes | None:
        """Return the value of Access-Control-Allow-Origin.

        Args:
            origin: the request's header Origin; None without it.

        Returns:
            The value; None if the response must not have the header.
        """
        if origin is None:
            return None
        value = b"*" if self.allows_all else origin
        return value if value in self._values else None

    def answer_preflight(self, scope: Scope) -> Response | None:
        """Return the response to a preflight; None if the request is none."""
        headers = Headers(scope=scope)
        if "origin" not in headers or "access-control-request-method" not in headers:
            return None
        response = self._preflights.preflight_response(headers)
        response.headers["x-content-type-options"] = "nosniff"
        return response


def build_headers(value: bytes) -> list[tuple[bytes, bytes]]:
    """Build the response headers for an allowed origin.

    Args:
        value: the value of Access-Control-Allow-Origin.
    """
    return [
        (b"access-control-allow-origin", value),
        (b"access-control-expose-headers", _EXPOSED_HEADERS.encode()),
    ]


async def _refuse(*_: object) -> None:
    raise AssertionError("only preflights are answered here")


_NO_APP: ASGIApp = _refuse

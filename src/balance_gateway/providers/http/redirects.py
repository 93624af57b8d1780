"""Decide which redirects may be followed.

A redirect may lead to the same origin or to a host that the connector's settings allow.

Source: Light's page: "Make sure your HTTP client follows redirects and forward the
`Authorization` header, as some endpoints may redirect to other URLs."
Undocumented: to which hosts. Credentials are sent to configured hosts only.
"""

import logging
from collections.abc import Collection

from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.transport.errors import InvalidURL
from balance_gateway.transport.urls import DEFAULT_PORTS, URL, join_url

logger = logging.getLogger(__name__)

#: Redirects that keep method and body, and mean that the request was not processed.
NOT_PROCESSED_STATUSES = frozenset({307, 308})

#: All statuses that name another address.
REDIRECT_STATUSES = NOT_PROCESSED_STATUSES | {301, 302, 303}

REDIRECTS_MAX = 3


def resolve_redirect(source: URL, location: str | None, allowed_hosts: Collection[str]) -> URL:
    """Return the URL that a redirect leads to.

    Args:
        source: URL of the request that was redirected.
        location: Value of the ``Location`` header, absolute or relative.
        allowed_hosts: ``host`` (on the default port of its scheme) or ``host:port``, lower case.

    Raises:
        MalformedResponse: ``Location`` is missing or invalid, or leads to a host that is not
            allowed. The text contains no part of the URL.
    """
    if not location:
        raise MalformedResponse("the redirect has no Location header")
    try:
        target = join_url(source, location)
    except InvalidURL:
        raise MalformedResponse(
            "Location must be an http or https URL with a host and without a user"
        ) from None
    if source.scheme == "https" and target.scheme != "https":
        raise MalformedResponse("Location redirects from https to http")
    if source.origin != target.origin and not _is_allowed(target, allowed_hosts):
        # DNS allows 253 characters; a longer name would only inflate the error.
        host = target.host if len(target.host) <= 253 else "a host with an overlong name"
        # For the log only: callers have no business with the addresses of a provider.
        logger.warning("provider.redirect_refused", extra={"base": source.host, "host": host})
        raise MalformedResponse("it redirects to a host that redirect_hosts does not allow")
    return target


def _is_allowed(url: URL, allowed_hosts: Collection[str]) -> bool:
    if f"{url.host}:{url.port}" in allowed_hosts:
        return True
    return url.port == DEFAULT_PORTS[url.scheme] and url.host in allowed_hosts

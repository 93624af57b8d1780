"""Decide which redirects may be followed.

A redirect may lead to the same origin or to a host that the connector's settings allow.

Source: Light's page: "Make sure your HTTP client follows redirects and forward the
`Authorization` header, as some endpoints may redirect to other URLs."
Undocumented: to which hosts. Credentials are sent to configured hosts only.
"""

from collections.abc import Collection

import httpx

from balance_gateway.providers.http.json_fields import MalformedResponse

#: Redirects that keep method and body, and mean that the request was not processed.
NOT_PROCESSED_STATUSES = frozenset({307, 308})

#: All statuses that name another address.
REDIRECT_STATUSES = NOT_PROCESSED_STATUSES | {301, 302, 303}

REDIRECTS_MAX = 3

_DEFAULT_PORTS = {"http": 80, "https": 443}


def resolve_redirect(url: str, location: str | None, allowed_hosts: Collection[str]) -> str:
    """Return the absolute URL that a redirect leads to.

    Args:
        url: URL of the request that was redirected.
        location: Value of the ``Location`` header, absolute or relative.
        allowed_hosts: ``host`` (on the default port of its scheme) or ``host:port``, lower case.

    Raises:
        MalformedResponse: ``Location`` is missing or invalid, or leads to a host that is not
            allowed. The text contains the host and no other part of the URL.
    """
    if not location:
        raise MalformedResponse("the redirect has no Location header")
    source = httpx.URL(url)
    try:
        target = source.join(location)
    except (httpx.InvalidURL, ValueError):
        raise MalformedResponse("Location is not a valid URL") from None
    if target.scheme not in _DEFAULT_PORTS or target.userinfo or not target.host:
        raise MalformedResponse(
            "Location must be an http or https URL with a host and without a user"
        )
    if source.scheme == "https" and target.scheme != "https":
        raise MalformedResponse("Location redirects from https to http")
    if _get_origin(source) != _get_origin(target) and not _is_allowed(target, allowed_hosts):
        # DNS allows 253 characters; a longer name would only inflate the error.
        host = target.host if len(target.host) <= 253 else "a host with an overlong name"
        raise MalformedResponse(f"it redirects to {host}, which redirect_hosts does not allow")
    return str(target)


def _get_origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def _is_allowed(url: httpx.URL, allowed_hosts: Collection[str]) -> bool:
    port = url.port or _DEFAULT_PORTS[url.scheme]
    if f"{url.host}:{port}" in allowed_hosts:
        return True
    return port == _DEFAULT_PORTS[url.scheme] and url.host in allowed_hosts

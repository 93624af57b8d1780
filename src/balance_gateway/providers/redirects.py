"""Where a redirect may lead: the same origin, or a host that the connector's settings allow.

Light's page: "Make sure your HTTP client follows redirects and forward the `Authorization`
header, as some endpoints may redirect to other URLs." Undocumented: to which hosts. Credentials
go nowhere that was not configured.
"""

from collections.abc import Collection

import httpx

from balance_gateway.providers.json_fields import WrongShape

#: A redirect that keeps method and body, and says that nothing was done here.
NOT_HERE = frozenset({307, 308})

#: Statuses that name another address.
REDIRECTS = NOT_HERE | {301, 302, 303}

REDIRECTS_MAX = 3

_DEFAULT_PORTS = {"http": 80, "https": 443}


def redirect_target(url: str, location: str | None, allowed_hosts: Collection[str]) -> str:
    """The address a redirect leads to.

    Args:
        url: the address that answered.
        location: the header, absolute or relative.
        allowed_hosts: ``host`` (on its scheme's own port) or ``host:port``, lower case.

    Raises:
        WrongShape: there is none, or it leads to another host; the host is named, nothing else.
    """
    if not location:
        raise WrongShape("it redirects without saying where")
    here = httpx.URL(url)
    try:
        there = here.join(location)
    except (httpx.InvalidURL, ValueError):
        raise WrongShape("it redirects to an address that is none") from None
    if there.scheme not in _DEFAULT_PORTS or there.userinfo or not there.host:
        raise WrongShape("it redirects to an address that is not taken")
    if here.scheme == "https" and there.scheme != "https":
        raise WrongShape("it redirects from https to http")
    if _origin(here) != _origin(there) and not _is_allowed(there, allowed_hosts):
        host = there.host if len(there.host) <= 253 else "a very long name"
        raise WrongShape(f"it redirects to {host}, which redirect_hosts does not allow")
    return str(there)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def _is_allowed(url: httpx.URL, allowed_hosts: Collection[str]) -> bool:
    port = url.port or _DEFAULT_PORTS[url.scheme]
    if f"{url.host}:{port}" in allowed_hosts:
        return True
    return port == _DEFAULT_PORTS[url.scheme] and url.host in allowed_hosts

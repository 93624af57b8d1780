"""Builds the transport that the settings of a connector or of an issuer name."""

from pathlib import Path
from typing import Protocol

from balance_gateway.domain.secret import Secret
from balance_gateway.transport.interface import Transport
from balance_gateway.transport.limits import DEFAULT_BOUNDS, DEFAULT_LIMITS, Bounds
from balance_gateway.transport.pooled_transport import PooledTransport
from balance_gateway.transport.tls import build_ssl_context


class Network(Protocol):
    """How connections are made."""

    @property
    def ca_file(self) -> Path | None:
        """PEM file with CAs that are trusted besides the public ones; None for none."""
        ...

    @property
    def client_cert(self) -> Path | None:
        """PEM file with a client certificate; None for none."""
        ...

    @property
    def client_key(self) -> Path | None:
        """PEM file with its private key; None if it is in ``client_cert``."""
        ...

    @property
    def proxy(self) -> Secret | None:
        """URL of a proxy, with its user and password if any; None for direct connections."""
        ...


def build_transport(
    name: str,
    network: Network | None = None,
    *,
    bounds: Bounds = DEFAULT_BOUNDS,
    concurrency_max: int = 0,
) -> Transport:
    """Build a transport; no connection is opened.

    Args:
        name: ``pooled`` for our own connection pool, ``httpx`` for httpx's.
        network: How connections are made; None for direct ones to servers with public
            certificates. A proxy is used through httpx, whatever the name.
        bounds: Size bounds of every response.
        concurrency_max: How many calls may be in flight: so many connections to an origin are
            allowed and kept, if they are more than the default.

    Raises:
        ValueError: There is no transport of this name.
        OSError: A file of the network cannot be used.
    """
    if name not in {"pooled", "httpx"}:
        raise ValueError('transport must be "pooled" or "httpx"')
    context, proxy, proxy_context = None, None, None
    if network is not None:
        proxy = network.proxy
        if network.ca_file is not None or network.client_cert is not None:
            context = build_ssl_context(network.ca_file, network.client_cert, network.client_key)
        if proxy is not None:
            # The client certificate is for the provider, not for the proxy.
            proxy_context = build_ssl_context(network.ca_file)
    connections_max = max(DEFAULT_LIMITS.connections_max, concurrency_max)
    limits = DEFAULT_LIMITS._replace(connections_max=connections_max, idle_max=connections_max)
    if name == "pooled" and proxy is None:
        return PooledTransport(limits=limits, bounds=bounds, ssl_context=context)
    # httpx is slow to import, and most processes never use it.
    from balance_gateway.transport.httpx_transport import HttpxTransport

    return HttpxTransport(
        limits=limits,
        bounds=bounds,
        ssl_context=context,
        proxy=proxy,
        proxy_ssl_context=proxy_context,
    )

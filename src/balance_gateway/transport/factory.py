"""Builds the transport that a connector's settings name."""

from balance_gateway.transport.interface import Transport
from balance_gateway.transport.pooled_transport import PooledTransport


def build_transport(name: str) -> Transport:
    """Build a transport with the default limits and bounds; no connection is opened.

    Args:
        name: ``pooled`` for our own connection pool, ``httpx`` for httpx's.

    Raises:
        ValueError: There is no transport of this name.
    """
    if name == "pooled":
        return PooledTransport()
    if name == "httpx":
        # httpx is slow to import, and most processes never use it.
        from balance_gateway.transport.httpx_transport import HttpxTransport

        return HttpxTransport()
    raise ValueError('transport must be "pooled" or "httpx"')

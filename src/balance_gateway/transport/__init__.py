"""Outbound HTTP/1.1: a small connection pool on httptools, or httpx's, behind one interface."""

from balance_gateway.transport.errors import Sent, TransportError, get_sent
from balance_gateway.transport.factory import Network, build_transport
from balance_gateway.transport.interface import Transport
from balance_gateway.transport.limits import Bounds, Limits, Timeouts, Usage
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.pool import Pool
from balance_gateway.transport.pooled_transport import PooledTransport
from balance_gateway.transport.tls import verified_ssl_context
from balance_gateway.transport.urls import URL, join_url, parse_url

__all__ = [
    "URL",
    "Bounds",
    "Limits",
    "Network",
    "Pool",
    "PooledTransport",
    "RawResponse",
    "Sent",
    "Timeouts",
    "Transport",
    "TransportError",
    "Usage",
    "build_transport",
    "get_sent",
    "join_url",
    "parse_url",
    "verified_ssl_context",
]

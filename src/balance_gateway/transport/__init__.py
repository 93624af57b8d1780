"""Outbound HTTP/1.1: a small connection pool on httptools, for direct use or below httpx."""

from balance_gateway.transport.adapter import HttptoolsTransport
from balance_gateway.transport.errors import ResponseTooLarge, Sent, get_sent
from balance_gateway.transport.limits import Bounds, Limits, Timeouts, Usage
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.pool import Pool, verified_ssl_context

__all__ = [
    "Bounds",
    "HttptoolsTransport",
    "Limits",
    "Pool",
    "RawResponse",
    "ResponseTooLarge",
    "Sent",
    "Timeouts",
    "Usage",
    "get_sent",
    "verified_ssl_context",
]

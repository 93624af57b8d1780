"""Outbound HTTP/1.1: a small pool on httptools, usable directly or beneath httpx."""

from balance_gateway.transport.adapter import HttptoolsTransport
from balance_gateway.transport.errors import ResponseTooLarge, Sent, sent
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
    "sent",
    "verified_ssl_context",
]

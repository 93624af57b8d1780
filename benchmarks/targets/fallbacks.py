"""Reads from /metrics how many queries graphql-core executed because they were not compiled."""

import re
from collections import Counter

from benchmarks.servers import Server

METRIC = "balance_gateway_graphql_fallbacks"
_SAMPLE = re.compile(rf'^{METRIC}_total\{{.*?reason="([^"]+)".*?\}} ([0-9.e+]+)$', re.MULTILINE)


def read_fallbacks(server: Server) -> Counter[str] | None:
    """Read the fallbacks so far by reason; None if the gateway does not count them."""
    return parse_fallbacks(server.request("GET", "/metrics").body.decode())


def parse_fallbacks(text: str) -> Counter[str] | None:
    """Parse the fallbacks by reason from Prometheus' text format; None without the metric."""
    if METRIC not in text:
        return None
    return Counter({reason: int(float(value)) for reason, value in _SAMPLE.findall(text)})


def format_fallbacks(counts: Counter[str] | None) -> str:
    """Format fallbacks for a table: ``-`` if unknown, ``0``, or each reason with its number."""
    if counts is None:
        return "-"
    counts = +counts
    return ", ".join(f"{reason} {counts[reason]:,}" for reason in sorted(counts)) or "0"

"""The headers of a request by their names."""

from collections.abc import Mapping, Sequence


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Headers by lower-case name; the values of one that is given twice are joined by a comma."""
    named = dict(headers)
    if len(named) == len(headers):
        return named
    named.clear()
    for name, value in headers:
        named[name] = named[name] + b", " + value if name in named else value
    return named

"""Checks the raw values of arguments and converts them as GraphQL coerces input.

Used for each request, after ``argument_sources`` returned the raw JSON values and before
``response_builder`` looks up any account. Output: ids, days, ages and policies. Each function
raises ``FallBackToGraphQLCore`` for a value that is invalid or unusual; graphql-core then coerces
the value or reports the error.
"""

from datetime import date
from functools import lru_cache
from typing import Any

from graphql import GraphQLError

from balance_gateway.api.fast_path.argument_sources import ABSENT
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.schema.history import DAY_MAX, DAY_MIN
from balance_gateway.api.schema.scalars import parse_date
from balance_gateway.ports.reads import OnStale

DAY_CHARACTERS = len("2026-01-31")
_INT_MAX = 2**31 - 1
_ON_STALE = {"SERVE": OnStale.SERVE, "ERROR": OnStale.ERROR}


def coerce_id(value: Any) -> str:
    """Return an ID; only strings are supported, not the integers that GraphQL also allows."""
    if type(value) is not str:
        raise FallBackToGraphQLCore
    return value


def coerce_ids(value: Any) -> list[str]:
    """Return a list of IDs."""
    if type(value) is not list or not all(type(item) is str for item in value):
        raise FallBackToGraphQLCore
    return value


def coerce_day(value: Any) -> date | None:
    """Return a Date within the supported range; None for null or an omitted argument."""
    if value is None or value is ABSENT:
        return None
    # The length is checked first so that the cache below never holds a long text.
    if type(value) is not str or len(value) != DAY_CHARACTERS:
        raise FallBackToGraphQLCore
    day = _parse_day(value)
    if day is None:
        raise FallBackToGraphQLCore
    return day


@lru_cache(maxsize=4096)
def _parse_day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except GraphQLError:
        return None
    return day if DAY_MIN <= day <= DAY_MAX else None


def coerce_max_age(value: Any) -> int | None:
    """Return an age in seconds; None for null or an omitted argument."""
    if value is None or value is ABSENT:
        return None
    if type(value) is not int or not 0 <= value <= _INT_MAX:
        raise FallBackToGraphQLCore
    return value


def coerce_on_stale(value: Any) -> OnStale:
    """Return the policy for stale values; SERVE for null or an omitted argument."""
    if value is None or value is ABSENT:
        return OnStale.SERVE
    if type(value) is not str or value not in _ON_STALE:
        raise FallBackToGraphQLCore
    return _ON_STALE[value]

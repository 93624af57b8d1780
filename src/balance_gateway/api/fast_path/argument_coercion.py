"""Arguments' raw values, checked as GraphQL would coerce them; the unusual is left to it."""

from datetime import date
from functools import lru_cache
from typing import Any

from graphql import GraphQLError

from balance_gateway.api.fast_path.argument_sources import ABSENT
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.schema.bank_account import DAY_MAX, DAY_MIN
from balance_gateway.api.schema.scalars import parse_date
from balance_gateway.ports.reads import (
    OnStale,
)

DAY_CHARACTERS = len("2026-01-31")
_INT_MAX = 2**31 - 1
_ON_STALE = {"SERVE": OnStale.SERVE, "ERROR": OnStale.ERROR}


def coerce_id(value: Any) -> str:
    """An ID that is a string, as nearly all are."""
    if type(value) is not str:
        raise FallBackToGraphQLCore
    return value


def coerce_ids(value: Any) -> list[str]:
    """A list of IDs."""
    if type(value) is not list or not all(type(item) is str for item in value):
        raise FallBackToGraphQLCore
    return value


def coerce_day(value: Any) -> date | None:
    """A Date that can be used; None when it was null or left out."""
    if value is None or value is ABSENT:
        return None
    if type(value) is not str or len(value) != DAY_CHARACTERS:
        # Nor must what has any length be remembered below.
        raise FallBackToGraphQLCore
    day = _day(value)
    if day is None:
        raise FallBackToGraphQLCore
    return day


@lru_cache(maxsize=4096)
def _day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except GraphQLError:
        return None
    return day if DAY_MIN <= day <= DAY_MAX else None


def coerce_max_age(value: Any) -> int | None:
    """A number of seconds; None when it was null or left out."""
    if value is None or value is ABSENT:
        return None
    if type(value) is not int or not 0 <= value <= _INT_MAX:
        raise FallBackToGraphQLCore
    return value


def coerce_on_stale(value: Any) -> OnStale:
    """What to do with a stale value; by default to be served."""
    if value is None or value is ABSENT:
        return OnStale.SERVE
    if type(value) is not str or value not in _ON_STALE:
        raise FallBackToGraphQLCore
    return _ON_STALE[value]

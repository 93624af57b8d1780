"""Values of the balance types: Hypothesis strategies, and one with every field set."""

import enum
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from balance_gateway.domain.balances import (
    BalanceFigures,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.money import Money

MONEY = st.builds(Money, st.integers(), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
#: RFC 3339 has offsets of whole minutes.
OFFSETS = st.just(UTC) | st.integers(1, 1439).flatmap(
    lambda minutes: st.sampled_from([timezone(timedelta(minutes=n)) for n in (minutes, -minutes)])
)
INSTANTS = st.none() | st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 (Hypothesis takes naive bounds)
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=OFFSETS,
).map(lambda instant: instant.replace(fold=0))
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
TAGS = st.builds(
    Tag, *[st.text(max_size=3)] * 5, dimension_display_name=TEXTS, archived_at=INSTANTS
)
#: Includes the names of the formats' own notations.
NAMES = st.text() | st.sampled_from(["$decimal", "$float", "$object"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.sampled_from(["1.10", "inf"])
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
METADATA = st.none() | st.dictionaries(NAMES, JSON, max_size=3)
REASONS = st.none() | st.sampled_from(MissingReason)
FIGURES = st.builds(
    BalanceFigures,
    st.dates(),
    st.none() | MONEY,
    st.none() | MONEY,
    bank_missing=REASONS,
    ledger_missing=REASONS,
    remote_path=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
)
OPENINGS = st.builds(
    OpeningBalance,
    amount=MONEY,
    effective_at=INSTANTS,
    source=st.sampled_from(OpeningBalanceSource),
    created_at=INSTANTS,
    updated_at=INSTANTS,
    memo=TEXTS,
    reference_number=TEXTS,
    tags=st.lists(TAGS, max_size=2).map(tuple),
    metadata=METADATA,
)
FEEDS = st.builds(
    BankFeed,
    state=st.sampled_from(BankFeedState),
    last_synced_at=INSTANTS,
    disconnected_at=INSTANTS,
    needs_attention=st.booleans(),
    latest=st.none() | st.builds(ReportedFigure, st.integers(), INSTANTS),
    latest_problem=TEXTS,
)


def fill(kind: Any, name: str = "", default: Any = None) -> Any:
    """A value of a type in which each field, found by its type, differs from its default.

    A format that forgets a field, also one that was added later, returns another value.

    Raises:
        TypeError: this function knows no value of the type of a field.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: fill(hints[f.name], f.name, f.default) for f in fields(kind)})
    if get_origin(kind) is types.UnionType:
        return fill(next(one for one in get_args(kind) if one is not type(None)), name, default)
    if get_origin(kind) is tuple:
        return (fill(get_args(kind)[0], name),)
    if get_origin(kind) is Mapping:
        return {name: Decimal("1.10")}
    if isinstance(kind, enum.EnumMeta):
        return next(one for one in reversed(kind) if one is not default)
    values = {
        str: f"some {name}",
        int: 10**30 + 7,
        bool: default is not True,
        date: date(2026, 5, 7),
        datetime: datetime(2026, 5, 7, 1, 2, 3, 4, tzinfo=UTC),
    }
    if kind not in values:
        raise TypeError(f"add a value of {kind} for the field {name}")
    return values[kind]

"""Coerces input values by their GraphQL types, from JSON values to the values that writers use.

``argument_sources`` uses it for variables and literals. Each coercer raises
``FallBackToGraphQLCore`` for a value that is invalid or unusual; graphql-core then coerces the
value or reports the error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from graphql import GraphQLError

from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.schema.history import HistoryStep
from balance_gateway.api.schema.node import parse_connector_name
from balance_gateway.api.schema.scalars import parse_currency, parse_date
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.reads import OnStale
from balance_gateway.service.account_index import AccountFilter
from balance_gateway.service.account_order import AccountOrder
from balance_gateway.service.balances import TotalGroup

#: The value of an input that is left out and has no default.
ABSENT = object()

#: Converts a JSON value, or ABSENT, of one GraphQL type.
Coercer = Callable[[Any], Any]

_DAY_CHARACTERS = len("2026-01-31")
_INT_MAX = 2**31 - 1
_NAME_CHARACTERS_MAX = 200
_ONLY_TEXT = {str}


@dataclass(frozen=True, slots=True)
class FilterArgument:
    """A filter for accounts, and the number of items in its longest list."""

    filter: AccountFilter
    items: int


NO_FILTER = FilterArgument(AccountFilter(), 0)

#: The types of the fields of ``BankAccountFilter``.
FILTER_FIELDS: Mapping[str, str] = {
    "ids": "[ID!]",
    "connectors": "[ID!]",
    "providers": "[ProviderKind!]",
    "currencies": "[CurrencyCode!]",
    "nameContains": "String",
}


def get_coercer(type_: str) -> Coercer:
    """Return the coercer of a type.

    Args:
        type_: the type as text, such as ``[ID!]!``.

    Raises:
        FallBackToGraphQLCore: no supported argument has this type.
    """
    if type_.endswith("!"):
        return _require(get_coercer(type_[:-1]))
    if type_ == "[ID!]":
        return _allow_null(_coerce_ids)
    if type_.startswith("["):
        return _allow_null(_build_list_coercer(get_coercer(type_[1:-1])))
    if type_ not in _NAMED:
        raise FallBackToGraphQLCore("variable")
    return _allow_null(_NAMED[type_])


def build_filter(fields: Mapping[str, Any]) -> FilterArgument:
    """Build a filter from the coerced fields of a ``BankAccountFilter``."""
    # null is no condition; an empty list is a condition that no account meets.
    given = {name: None if value is ABSENT else value for name, value in fields.items()}
    ids, connectors = given.get("ids"), given.get("connectors")
    providers, currencies = given.get("providers"), given.get("currencies")
    name_contains = given.get("nameContains")
    if name_contains is not None and len(name_contains) > _NAME_CHARACTERS_MAX:
        raise FallBackToGraphQLCore("argument")
    return FilterArgument(
        AccountFilter(
            ids=None if ids is None else frozenset(ids),
            connectors=None if connectors is None else tuple(map(parse_connector_name, connectors)),
            providers=None if providers is None else tuple(providers),
            currencies=None if currencies is None else tuple(currencies),
            name_contains=name_contains,
        ),
        max((len(each) for each in (ids, connectors, providers, currencies) if each), default=0),
    )


def _allow_null(coerce: Coercer) -> Coercer:
    return lambda value: value if value is None or value is ABSENT else coerce(value)


def _require(coerce: Coercer) -> Coercer:
    def coerce_required(value: Any) -> Any:
        if value is None or value is ABSENT:
            raise FallBackToGraphQLCore("argument")
        return coerce(value)

    return coerce_required


def _build_list_coercer(coerce: Coercer) -> Coercer:
    def coerce_list(value: Any) -> list[Any]:
        if type(value) is not list:
            raise FallBackToGraphQLCore("argument")
        return [coerce(item) for item in value]

    return coerce_list


def _coerce_ids(value: Any) -> list[str]:
    # Only strings, not the integers that GraphQL also allows.
    if type(value) is not list or not set(map(type, value)) <= _ONLY_TEXT:
        raise FallBackToGraphQLCore("argument")
    return value


def _coerce_text(value: Any) -> str:
    if type(value) is not str:
        raise FallBackToGraphQLCore("argument")
    return value


def _coerce_int(value: Any) -> int:
    if type(value) is not int or not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise FallBackToGraphQLCore("argument")
    return value


def _coerce_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise FallBackToGraphQLCore("argument")
    return value


def _coerce_day(value: Any) -> date:
    # The length is checked first so that the cache below never holds a long text.
    day = None
    if type(value) is str and len(value) == _DAY_CHARACTERS:
        day = _parse_day(value)
    if day is None:
        raise FallBackToGraphQLCore("argument")
    return day


@lru_cache(maxsize=4096)
def _parse_day(text: str) -> date | None:
    try:
        return parse_date(text)
    except GraphQLError:
        return None


def _coerce_currency(value: Any) -> str:
    try:
        return parse_currency(value)
    except GraphQLError:
        raise FallBackToGraphQLCore("argument") from None


def _build_enum_coercer(members: Mapping[str, Any]) -> Coercer:
    def coerce(value: Any) -> Any:
        if type(value) is not str or value not in members:
            raise FallBackToGraphQLCore("argument")
        return members[value]

    return coerce


def _coerce_filter(value: Any) -> FilterArgument:
    if type(value) is not dict or not value.keys() <= FILTER_FIELDS.keys():
        raise FallBackToGraphQLCore("argument")
    return build_filter({name: _FILTER_COERCERS[name](each) for name, each in value.items()})


_NAMED: dict[str, Coercer] = {
    "ID": _coerce_text,
    "String": _coerce_text,
    "Int": _coerce_int,
    "Boolean": _coerce_boolean,
    "Date": _coerce_day,
    "CurrencyCode": _coerce_currency,
    "OnStale": _build_enum_coercer({each.name: each for each in OnStale}),
    "HistoryStep": _build_enum_coercer({each.name: each for each in HistoryStep}),
    "BankAccountOrder": _build_enum_coercer({each.name: each for each in AccountOrder}),
    "TotalGroup": _build_enum_coercer({each.name: each for each in TotalGroup}),
    "ProviderKind": _build_enum_coercer({each.name: each for each in ProviderKind}),
    "BankAccountFilter": _coerce_filter,
}
_FILTER_COERCERS = {name: get_coercer(type_) for name, type_ in FILTER_FIELDS.items()}

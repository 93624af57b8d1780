"""Keeps values that a scalar cannot read, so that only the row of a bulk with the value fails.

GraphQL refuses the whole request for one such value. While ``keep_unreadable`` is active the
scalars return an ``Unreadable`` instead, and the resolver rejects the row that contains it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import GraphQLError

from balance_gateway.domain.errors import BadInput

T = TypeVar("T")
V = TypeVar("V")

#: The keys and list positions from an argument or a variable to a value in it.
InputPath = tuple[str | int, ...]

_is_keeping: ContextVar[bool] = ContextVar("is_keeping", default=False)


class ScalarFault(GraphQLError):
    """A value that a custom scalar does not accept as input."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that a scalar could not read.

    Attributes:
        message: what the value must be.
    """

    message: str


@contextmanager
def keep_unreadable(*, active: bool = True) -> Iterator[None]:
    """Let the scalars return ``Unreadable`` for a wrong value, if active, instead of raising."""
    token = _is_keeping.set(active)
    try:
        yield
    finally:
        _is_keeping.reset(token)


def allow_unreadable(parse: Callable[[T], V]) -> Callable[[T], V | Unreadable]:
    """Return a parser that respects ``keep_unreadable``."""

    def parse_or_keep(value: T) -> V | Unreadable:
        try:
            return parse(value)
        except ScalarFault as fault:
            if _is_keeping.get():
                return Unreadable(fault.message)
            raise

    return parse_or_keep


def require_readable(value: T, field: str) -> T:
    """Return the value.

    Args:
        value: the value of an input field.
        field: the field as a dotted path; named in the error.

    Raises:
        BadInput: the scalar could not read the value.
    """
    if isinstance(value, Unreadable):
        raise BadInput(value.message, field=field)
    return value


def find_unreadable(value: Any, path: InputPath = ()) -> Iterator[tuple[InputPath, Unreadable]]:
    """Yield every unreadable value in a coerced input value, with its path."""
    if isinstance(value, Unreadable):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find_unreadable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_unreadable(item, (*path, index))


def format_place(name: str, path: InputPath | list[str | int]) -> str:
    """Format an input value's place, such as ``inputs[0].amount.currency``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return name + "".join(steps)

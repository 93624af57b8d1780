"""Declares beside each field of the schema how many objects it returns, for the cost of a document.

A field that returns a list of objects must declare its size; the schema is not built without it. A
list of plain values needs none: it counts as one field.
"""

from collections.abc import Callable
from dataclasses import dataclass

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from balance_gateway.api.request.limits import Limits

#: The assumed size of a list that no argument limits.
TYPICAL_SIZE = 5

#: For the lists in a page: the field that returns the page counts its items.
COUNTED_BY_PARENT = 1

_METADATA_KEY = "list_size"


@dataclass(frozen=True, slots=True)
class ListSize:
    """The number of objects that a field returns.

    Attributes:
        count: computes it from the limits and the values of ``arguments``, in their order. The
            values are not coerced, and an object or an item of a list may be None; a value is None
            if the argument is omitted or null. It must not raise.
        arguments: the GraphQL names of the arguments that it depends on.
        compute_work: returns the cost of computing the field itself, from the limits.
    """

    count: Callable[..., int]
    arguments: tuple[str, ...] = ()
    compute_work: Callable[[Limits], int] = lambda _limits: 0


def list_size(
    count: int | Callable[..., int],
    *arguments: str,
    compute_work: Callable[[Limits], int] = lambda _limits: 0,
) -> dict[str, ListSize]:
    """Return the ``metadata`` of a Strawberry field that declares its size.

    Args:
        count: the size, or ``ListSize.count``.
        arguments: see ``ListSize``.
        compute_work: see ``ListSize``.
    """
    if isinstance(count, int):
        return {_METADATA_KEY: ListSize(lambda _limits: count, (), compute_work)}
    return {_METADATA_KEY: ListSize(count, arguments, compute_work)}


def count_items(value: object) -> int:
    """Return the number of items in a list argument; a single value counts as a list of one."""
    return len(value) if isinstance(value, list) else 1


def get_list_size(field: GraphQLField) -> ListSize | None:
    """Return the declared size of a field; None if it returns one object or a plain value."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    size: ListSize | None = None if definition is None else definition.metadata.get(_METADATA_KEY)
    return size


def require_list_sizes(schema: GraphQLSchema) -> None:
    """Check that every field with a list of objects declares its size, with existing arguments.

    Raises:
        TypeError: a field declares no size, or names an argument that it does not have.
    """
    for type_name, type_ in schema.type_map.items():
        if is_introspection_type(type_):
            continue
        if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            continue
        for name, field in type_.fields.items():
            size = get_list_size(field)
            if size is None and _returns_objects(field):
                raise TypeError(
                    f"{type_name}.{name} returns a list of objects and must declare its size: add "
                    "metadata=list_size(...) to the field."
                )
            unknown = set(size.arguments if size else ()) - set(field.args)
            if unknown:
                raise TypeError(f"{type_name}.{name} has no argument {', '.join(sorted(unknown))}.")


def _returns_objects(field: GraphQLField) -> bool:
    is_list = isinstance(get_nullable_type(field.type), GraphQLList)
    return is_list and is_composite_type(get_named_type(field.type))

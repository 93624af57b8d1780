"""The interface Node, and the ids of the types that implement it: each id belongs to one type."""

import strawberry

#: An account id cannot contain a colon, so no connector has the id of an account.
_CONNECTOR_PREFIX = "connector:"


@strawberry.interface(description="An object with a permanent id.")
class Node:
    """An object with an id."""

    id: strawberry.ID = strawberry.field(
        description="The id of the object in the gateway; no two objects of any type share one."
    )


def build_connector_id(name: str) -> strawberry.ID:
    """Build the id of a connector from its configured name."""
    return strawberry.ID(_CONNECTOR_PREFIX + name)


def parse_connector_name(text: str) -> str:
    """Return the configured name of a connector, from its id or from the name itself."""
    return text.removeprefix(_CONNECTOR_PREFIX)


def is_connector_id(text: str) -> bool:
    """Whether an id is that of a connector."""
    return text.startswith(_CONNECTOR_PREFIX)

"""The errors of fields, with paths that can be moved: a kept part has them below its own root."""

from dataclasses import dataclass

from balance_gateway.domain.errors import GatewayError

#: A path of response keys; None stands for the index of a list item.
KeyPath = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of a field.

    Attributes:
        keys: the path of the field below the root of the output.
        indexes: the indexes in this path, in order.
        error: the error.
    """

    keys: KeyPath
    indexes: tuple[int, ...]
    error: GatewayError

    @property
    def path(self) -> list[str | int]:
        """The path as in a GraphQL error."""
        indexes = iter(self.indexes)
        return [next(indexes) if key is None else key for key in self.keys]

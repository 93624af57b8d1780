"""Defines the secret that a file contains, which may be replaced while the gateway runs."""

from collections.abc import Callable

from balance_gateway.domain.secret import Secret


class FileSecret(Secret):
    """A credential from a file.

    Args:
        text: the secret as it was read.
        read: reads the file again; raises ValueError when it has no secret.
    """

    __slots__ = ("_read",)

    def __init__(self, text: str, read: Callable[[], str]) -> None:
        super().__init__(text)
        self._read = read

    def reread(self) -> Secret:
        """Return the secret that the file contains now; this one if it contains none."""
        try:
            secret = FileSecret(self._read(), self._read)
        except ValueError:
            # Whoever replaces the file may not have finished.
            return self
        return secret if secret.is_header_safe() else self

"""Wraps text that must never be displayed: a key, a password or a URL with a password."""

import hmac
import re

#: Characters that a header can carry as a credential: printable ASCII without spaces.
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,16384}")


class Secret:
    """A secret text.

    It prints as ``***`` and cannot be pickled; only ``reveal`` returns the text. Comparison takes
    constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the code that needs it."""
        return self._text

    def is_header_safe(self) -> bool:
        """Return whether an HTTP header can carry the text as a credential."""
        return _CREDENTIAL.fullmatch(self._text) is not None

    def reread(self) -> "Secret":
        """Return the secret as its source has it now: this one where the source cannot change."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")

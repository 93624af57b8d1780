"""Reads typed values from a TOML table; errors name the key and suggest a known name."""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import currency_exponent
from balance_gateway.domain.secret import Secret

#: The default port of each scheme, which a URL omits.
_DEFAULT_PORTS = {"https": 443, "http": 80}


class ConfigError(Exception):
    """The configuration is invalid; the message is one line that names the key and the fix."""


def format_name(name: str) -> str:
    """Return a name from the file in a form that fits on one line."""
    return name if name.isprintable() and name else repr(name)


class Table:
    """One table of the file.

    Every method that reads a value raises ``ConfigError`` with the full name of the key if the
    value is invalid.

    Args:
        values: the table as parsed by tomllib.
        path: the table's full name, such as ``connectors.light_eu``.
        directory: the base directory of relative ``file:`` references.
    """

    def __init__(self, values: object, path: str, directory: Path) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path} must be a table")
        self._values: dict[str, Any] = dict(values)
        self._path = path
        self._directory = directory

    def name(self, key: str) -> str:
        """Return the full name of a key."""
        return f"{self._path}.{format_name(key)}" if self._path else format_name(key)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Check that the table has only known keys.

        Raises:
            ConfigError: a key is unknown; the message suggests the nearest known key.
        """
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
                )
                raise ConfigError(f"{self.name(key)} is not a known key; {hint}")

    def has(self, key: str) -> bool:
        """Return whether the table has the key."""
        return key in self._values

    def raw(self, key: str) -> object:
        """Return the unchecked value, or None when the key is absent."""
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Read a string that is not empty; the key is required if there is no default."""
        value = self._values.get(key, default)
        if value is None:
            raise ConfigError(f"{self.name(key)} is missing")
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self.name(key)} must be a string that is not empty")
        return value

    def optional_text(self, key: str) -> str | None:
        """Read a string, or return None when the key is absent."""
        return self.text(key) if key in self._values else None

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        """Read one of several fixed strings."""
        value = self.text(key, default)
        if value not in choices:
            near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(choices))
            raise ConfigError(f"{self.name(key)} must be one of {allowed}, not {value!r}{hint}")
        return value

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        """Read an integer within bounds."""
        value = self._values.get(key, default)
        # Not isinstance: a bool is an int in Python.
        if type(value) is not int or not minimum <= value <= maximum:
            raise ConfigError(f"{self.name(key)} must be an integer from {minimum} to {maximum}")
        return value

    def seconds(self, key: str, default: float, *, minimum: float = 0.0) -> float:
        """Read a duration in seconds."""
        value = self._values.get(key, default)
        if type(value) not in (int, float) or not minimum <= value <= 10**9:
            raise ConfigError(f"{self.name(key)} must be a number of seconds, at least {minimum:g}")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self._values.get(key, default)
        if type(value) is not bool:
            raise ConfigError(f"{self.name(key)} must be true or false")
        return value

    def currency(self, key: str) -> str | None:
        """Read an ISO 4217 code, or return None when the key is absent."""
        currency = self.optional_text(key)
        if currency is not None:
            try:
                currency_exponent(currency)
            except BadInput as error:
                raise ConfigError(f"{self.name(key)}: {error.message}") from None
        return currency

    def http_url(self, key: str) -> str:
        """Read a URL in normalised form: https, or http on a loopback address.

        Scheme and host are in lower case; the scheme's default port and trailing slashes are
        removed.
        """
        # Two spellings of one address must not be treated as two addresses.
        text = self.text(key)
        parts = self.url_parts(key, text)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ConfigError(f"{self.name(key)} must be a URL such as https://api.example.com")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ConfigError(f"{self.name(key)} must not contain a user, a query or a fragment")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigError(
                f"{self.name(key)} must start with https://; http:// is only for loopback"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if parts.port is not None and parts.port != _DEFAULT_PORTS[parts.scheme]:
            host = f"{host}:{parts.port}"
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"

    def url_parts(self, key: str, text: str) -> SplitResult:
        """Split a URL.

        Raises:
            ConfigError: the text is not a URL. The message omits it, because it may contain a
                password.
        """
        try:
            parts = urlsplit(text)
            # Reading the port validates it.
            _ = parts.port
        except ValueError:
            raise ConfigError(f"{self.name(key)} is not a valid URL") from None
        return parts

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Read a list of strings."""
        value = self._values.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.name(key)} must be a list of strings")
        return tuple(value)

    def secret(self, key: str) -> Secret | None:
        """Read a secret by reference, or return None when the key is absent."""
        if key not in self._values:
            return None
        reference = self.text(key)
        kind, _, target = reference.partition(":")
        if kind == "env" and target:
            text = os.environ.get(target)
            if not text:
                raise ConfigError(
                    f"{self.name(key)}: the environment variable {format_name(target)} is not set"
                )
            return Secret(text)
        if kind == "file" and target:
            return Secret(self._read_file(key, target))
        raise ConfigError(
            f"{self.name(key)} must be a reference, 'env:NAME' or 'file:PATH', not the secret"
        )

    def _read_file(self, key: str, path: str) -> str:
        try:
            text = (self._directory / path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not a valid path or not UTF-8 text"
            raise ConfigError(
                f"{self.name(key)}: {format_name(path)} cannot be read: {reason}"
            ) from None
        if not text:
            raise ConfigError(f"{self.name(key)}: {format_name(path)} is empty")
        return text

    def table(self, key: str) -> "Table":
        """Return the nested table of a key; an empty table when the key is absent."""
        return Table(self._values.get(key, {}), self.name(key), self._directory)

    def tables(self, key: str) -> list["Table"]:
        """Return the array of tables of a key; an empty list when the key is absent."""
        values = self._values.get(key, [])
        if not isinstance(values, list):
            raise ConfigError(f"{self.name(key)} must be written as [[{self.name(key)}]]")
        return [
            Table(value, f"{self.name(key)}[{index}]", self._directory)
            for index, value in enumerate(values)
        ]

    def named_tables(self, key: str) -> dict[str, "Table"]:
        """Return the tables below a key by name, such as [connectors.light_eu]."""
        parent = self.table(key)
        return {name: parent.table(name) for name in parent._values}

"""Reading values out of a TOML table, with errors that name the key and the nearest known name."""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import currency_exponent
from balance_gateway.domain.secret import Secret

#: Ports that need not be written.
_OWN_PORTS = {"https": 443, "http": 80}


class ConfigError(Exception):
    """The configuration is wrong; the message is one line that names the key and the remedy."""


def shown(name: str) -> str:
    """A name from the file as it can stand in one line."""
    return name if name.isprintable() and name else repr(name)


class Table:
    """One table of the file. Every ``take`` names the key in its error; ``close`` refuses the rest.

    Args:
        values: the table as tomllib gives it.
        path: the table's name as people write it, such as ``connectors.light_eu``.
        directory: where a relative ``file:`` reference starts from.
    """

    def __init__(self, values: object, path: str, directory: Path) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path} has to be a table")
        self._values: dict[str, Any] = dict(values)
        self._path = path
        self._directory = directory

    def name(self, key: str) -> str:
        """The key's full name."""
        return f"{self._path}.{shown(key)}" if self._path else shown(key)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raises ConfigError for a key that nobody reads."""
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
                )
                raise ConfigError(f"{self.name(key)} is not a known key; {hint}")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def raw(self, key: str) -> object:
        """The value as it stands; None when it is absent."""
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required when there is no default."""
        value = self._values.get(key, default)
        if value is None:
            raise ConfigError(f"{self.name(key)} is missing")
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self.name(key)} has to be a text that is not empty")
        return value

    def optional_text(self, key: str) -> str | None:
        """A text, or None when it is absent."""
        return self.text(key) if key in self._values else None

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value not in choices:
            near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(choices))
            raise ConfigError(
                f"{self.name(key)} is {value!r}, and has to be one of {allowed}{hint}"
            )
        return value

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._values.get(key, default)
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(f"{self.name(key)} has to be a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, default: float, *, least: float = 0.0) -> float:
        """A duration in seconds."""
        value = self._values.get(key, default)
        if type(value) not in (int, float) or not least <= value <= 10**9:
            raise ConfigError(f"{self.name(key)} has to be a number of seconds, at least {least:g}")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._values.get(key, default)
        if type(value) is not bool:
            raise ConfigError(f"{self.name(key)} has to be true or false")
        return value

    def currency(self, key: str) -> str | None:
        """An ISO 4217 code, or None when it is absent."""
        currency = self.optional_text(key)
        if currency is not None:
            try:
                currency_exponent(currency)
            except BadInput as error:
                raise ConfigError(f"{self.name(key)}: {error.message}") from None
        return currency

    def http_url(self, key: str) -> str:
        """A URL in its one spelling: https, or http on loopback.

        Scheme and host are in lower case, without the scheme's own port and a slash at the end,
        so that two ways to write one address are not taken for two addresses.
        """
        text = self.text(key)
        parts = self.url_parts(key, text)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ConfigError(f"{self.name(key)} has to be a URL such as https://api.example.com")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ConfigError(f"{self.name(key)} must not hold a user, a query or a fragment")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigError(f"{self.name(key)} has to begin with https:// beyond this machine")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if parts.port is not None and parts.port != _OWN_PORTS[parts.scheme]:
            host = f"{host}:{parts.port}"
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"

    def url_parts(self, key: str, text: str) -> SplitResult:
        """The parts of a URL; its text, which may hold a password, is not repeated when wrong."""
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            raise ConfigError(f"{self.name(key)} is not a URL") from None
        return parts

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts."""
        value = self._values.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.name(key)} has to be a list of texts")
        return tuple(value)

    def secret(self, key: str) -> Secret | None:
        """A secret by reference, or None when it is absent."""
        if key not in self._values:
            return None
        reference = self.text(key)
        kind, _, place = reference.partition(":")
        if kind == "env" and place:
            text = os.environ.get(place)
            if not text:
                raise ConfigError(
                    f"{self.name(key)}: the environment variable {shown(place)} is not set"
                )
            return Secret(text)
        if kind == "file" and place:
            return Secret(self._file(key, place))
        raise ConfigError(
            f"{self.name(key)} has to be a reference, 'env:NAME' or 'file:PATH', never the secret"
        )

    def _file(self, key: str, place: str) -> str:
        try:
            text = (self._directory / place).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no path, or not UTF-8 text"
            raise ConfigError(
                f"{self.name(key)}: {shown(place)} cannot be read: {reason}"
            ) from None
        if not text:
            raise ConfigError(f"{self.name(key)}: {shown(place)} is empty")
        return text

    def table(self, key: str) -> "Table":
        """A table below this one; an empty one when it is absent."""
        return Table(self._values.get(key, {}), self.name(key), self._directory)

    def tables(self, key: str) -> list["Table"]:
        """An array of tables; empty when it is absent."""
        values = self._values.get(key, [])
        if not isinstance(values, list):
            raise ConfigError(f"{self.name(key)} has to be written as [[{self.name(key)}]]")
        return [
            Table(value, f"{self.name(key)}[{index}]", self._directory)
            for index, value in enumerate(values)
        ]

    def named_tables(self, key: str) -> dict[str, "Table"]:
        """Tables below a key by their names, such as [connectors.light_eu]."""
        parent = self.table(key)
        return {name: parent.table(name) for name in parent._values}

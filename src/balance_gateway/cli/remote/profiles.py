"""Reads and writes the profiles of gateways in the user's configuration directory."""

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli
from msgspec import Struct, field, structs

from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import UsageError
from balance_gateway.config.conversion import convert_table, join_name
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.http_urls import HttpUrl

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEADER = "# Written by `balance-gateway profiles`, which keeps no comments.\n"


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway and the key for it.

    Attributes:
        url: the address of the gateway.
        key: the reference to the key, ``env:NAME`` or ``file:PATH``.
        ca_file: a PEM file with authorities that are trusted besides the public ones.
        allow_plain_http: whether the key may be sent unencrypted beyond this machine.
    """

    url: HttpUrl
    key: str
    ca_file: Path | None = None
    allow_plain_http: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    # Each profile is converted with its full name, for errors.

    default: str | None = None
    profiles: dict[str, Any] = field(default_factory=dict)


class Profiles(Struct, frozen=True):
    """The profiles by name.

    Attributes:
        default: the name of the profile in use without ``--profile``; None for none.
        profiles: the profiles.
    """

    default: str | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)

    def find(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            UsageError: there is no such profile.
        """
        if name not in self.profiles:
            known = ", ".join(map(escape, sorted(self.profiles))) or "none"
            raise UsageError(
                f"There is no profile {name!r} in {find_path()} (there: {known}); add it with"
                " 'balance-gateway profiles add'."
            )
        return self.profiles[name]

    def add(self, name: str, profile: Profile) -> "Profiles":
        """Return the profiles with one more; the first one becomes the default."""
        added = {**self.profiles, name: profile}
        return structs.replace(self, default=self.default or name, profiles=added)

    def remove(self, name: str) -> "Profiles":
        """Return the profiles without one."""
        kept = {each: profile for each, profile in self.profiles.items() if each != name}
        return Profiles(None if self.default == name else self.default, kept)


def find_path() -> Path:
    """Return the path of the file, which need not exist.

    Raises:
        UsageError: the user has no home.
    """
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The specification of these directories ignores relative paths.
    if not base.is_absolute():
        try:
            base = Path.home() / ".config"
        except RuntimeError:
            raise UsageError(
                "The folder of the profiles is not known, since this user has no home: set"
                " XDG_CONFIG_HOME to an absolute path, or give --url and --key."
            ) from None
    return base / "balance-gateway" / "profiles.toml"


def check_name(name: str) -> None:
    """Check the name of a new profile.

    Raises:
        UsageError: it has other characters.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("The name must be 1 to 64 letters, digits, _ or -.")


def read_profiles() -> Profiles:
    """Read the file; without one there are no profiles.

    Raises:
        UsageError: the file cannot be read, or has an unknown key or a wrong value.
    """
    path = find_path()
    try:
        table = tomli.loads(path.read_text(encoding="utf-8-sig"))
        file = convert_table(table, _File, "", path.parent)
        return Profiles(
            file.default,
            {
                name: convert_table(values, Profile, join_name("profiles", name), path.parent)
                for name, values in file.profiles.items()
            },
        )
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} must be UTF-8 text.") from None
    except ConfigError as error:
        raise UsageError(f"{path}: {error}.") from None
    except (ValueError, RecursionError) as error:
        # tomli's own error is a ValueError, as is that for a number of thousands of digits.
        raise UsageError(f"{path} is not TOML: {error}.") from None


def write_profiles(profiles: Profiles) -> None:
    """Replace the file in one step; only its owner can read it.

    Raises:
        UsageError: the file cannot be written.
    """
    # A link, as in a folder of shared settings, keeps its place.
    path = find_path().resolve()
    staged: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            staged = Path(file.name)
            file.write(_format(profiles))
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        if staged is not None:
            staged.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def changing_profiles() -> Iterator[Profiles]:
    """Yield the profiles while no other process changes them.

    Raises:
        UsageError: the file cannot be read, or its folder cannot be written.
    """
    folder = find_path().resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{folder} cannot be opened: {error.strerror}.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read_profiles()
    finally:
        os.close(lock)


def _format(profiles: Profiles) -> str:
    lines = [_HEADER]
    if profiles.default is not None:
        lines.append(f"default = {_quote(profiles.default)}\n")
    for name, profile in sorted(profiles.profiles.items()):
        lines.append(f"[profiles.{_quote(name)}]")
        lines += [f"{key} = {value}" for key, value in _list_keys(profile).items()]
        lines.append("")
    return "\n".join(lines)


def _list_keys(profile: Profile) -> Mapping[str, str]:
    keys = {"url": _quote(profile.url), "key": _quote(profile.key)}
    if profile.ca_file is not None:
        keys["ca_file"] = _quote(str(profile.ca_file))
    if profile.allow_plain_http:
        keys["allow_plain_http"] = "true"
    return keys


def _quote(text: str) -> str:
    # A JSON string is a TOML string, except for DEL, which TOML wants escaped.
    return json.dumps(text).replace("\x7f", "\\u007f")

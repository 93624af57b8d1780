"""Options and errors that the commands share; each error is one line with an exit code."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="BALANCE_GATEWAY_CONFIG",
    required=True,
    help="Path of the configuration file (environment: BALANCE_GATEWAY_CONFIG).",
)


def log_level_option(default: str) -> Callable[[F], F]:
    """Build the option ``--log-level``."""
    return click.option(
        "--log-level",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
        envvar="BALANCE_GATEWAY_LOG_LEVEL",
        default=default,
        show_default=True,
        help="DEBUG logs every provider call (environment: BALANCE_GATEWAY_LOG_LEVEL).",
    )


class CommandError(click.ClickException):
    """The command failed; exit code 1."""

    exit_code = 1


class UsageError(click.ClickException):
    """The options or the configuration are invalid; exit code 2."""

    exit_code = 2


def check_text(parameter: str, text: str) -> None:
    """Check a name.

    Raises:
        UsageError: it is blank, or has control characters.
    """
    if not text.strip() or not text.isprintable():
        raise UsageError(f"{parameter} must be one line of text that is not blank")


def require_utf8(name: str, text: str) -> None:
    """Check a text that becomes part of a file in UTF-8, such as a path.

    Raises:
        UsageError: it has bytes that are not UTF-8, as names of files may have.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} must be UTF-8 text: choose a path without other bytes") from None


def load_settings(config_path: Path) -> "Settings":
    """Read the configuration file.

    Raises:
        UsageError: the configuration is invalid.
    """
    from balance_gateway.app.configuration import read_settings
    from balance_gateway.config.errors import ConfigError

    try:
        return read_settings(config_path)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def bind_listener(host: str, port: int, option: str = "--port") -> socket.socket:
    """Bind a listening socket.

    Args:
        host: the address.
        port: the port; 0 for a free one.
        option: the option that sets another port, for the error.

    Raises:
        UsageError: the address cannot be bound.
    """
    from balance_gateway.server.server import AddressUnavailable, bind

    try:
        return bind(host, port)
    except AddressUnavailable as error:
        raise UsageError(f"{error} Set another port with {option}; 0 is a free one.") from None

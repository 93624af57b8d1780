"""The options that choose a gateway and a key."""

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from balance_gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

F = TypeVar("F", bound=Callable[..., Any])

#: Opens a client of the chosen gateway.
Connect = Callable[[], "GatewayClient"]

_ca_file_option = click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file with an authority to trust besides the public ones.",
)
_plain_http_option = click.option(
    "--allow-plain-http",
    is_flag=True,
    help="Send the key unencrypted to another machine, as http:// does.",
)


class _FiniteRange(click.FloatRange):
    """A range of numbers; click's own takes "nan" for one of each range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def connection_options(command: F) -> F:
    """Add the options that choose a gateway; the function gets a ``client``."""

    @_gateway_options
    @wraps(command)
    def with_client(*args: Any, connect: "Connect", **options: Any) -> Any:
        del options["chosen"]
        with connect() as client:
            return command(*args, client=client, **options)

    return with_client  # type: ignore[return-value]


def optional_connection_options(command: F) -> F:
    """Add these options to a command that can do without a gateway.

    The function gets ``connect``, which opens a client; None unless an option names a gateway.
    """

    @_gateway_options
    @wraps(command)
    def with_connect(*args: Any, connect: "Connect", chosen: bool, **options: Any) -> Any:
        return command(*args, connect=connect if chosen else None, **options)

    return with_connect  # type: ignore[return-value]


def _gateway_options(command: F) -> F:
    """Add the options; the function gets ``connect``, and whether one of them names a gateway."""

    @click.option("--url", help="Address of the gateway, such as https://balances.example.")
    @click.option("--key", help="Reference to the key for it: env:NAME or file:PATH.")
    @click.option(
        "--profile",
        envvar="BALANCE_GATEWAY_PROFILE",
        shell_complete=_complete_profile,
        help="Profile with address and key (environment: BALANCE_GATEWAY_PROFILE).",
    )
    @_ca_file_option
    @_plain_http_option
    @click.option(
        "--timeout",
        "timeout_s",
        type=_FiniteRange(1, 3600),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for each response.",
    )
    @click.pass_context
    @wraps(command)
    def with_options(
        context: click.Context,
        /,
        *args: Any,
        url: str | None,
        key: str | None,
        profile: str | None,
        ca_file: Path | None,
        allow_plain_http: bool,
        timeout_s: float,
        **options: Any,
    ) -> Any:
        # A profile of the environment gives way to --url.
        is_profile_chosen = context.get_parameter_source("profile") is ParameterSource.COMMANDLINE

        def open_client() -> "GatewayClient":
            from balance_gateway.cli.remote.client import GatewayClient
            from balance_gateway.cli.remote.connection import connect

            if url is not None and is_profile_chosen:
                raise UsageError("--url and --profile exclude each other; leave one of them out.")
            if profile is not None and not profile.strip():
                # As a variable of a shell that is not set: the default would be another gateway.
                raise UsageError("--profile must not be blank; leave it out for the default one.")
            return GatewayClient(
                connect(url, key, profile, ca_file, timeout_s, allow_plain_http=allow_plain_http)
            )

        is_chosen = url is not None or is_profile_chosen
        return command(*args, connect=open_client, chosen=is_chosen, **options)

    return with_options  # type: ignore[return-value]


def profile_options(command: F) -> F:
    """Add the options that describe a profile."""
    decorators = (
        click.option(
            "--url", required=True, help="Address of the gateway, such as https://balances.example."
        ),
        click.option("--key", required=True, help="Reference to the key: env:NAME or file:PATH."),
        _ca_file_option,
        _plain_http_option,
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _complete_profile(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from balance_gateway.cli.remote.profiles import read_profiles

    try:
        names = sorted(read_profiles().profiles)
    except UsageError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]

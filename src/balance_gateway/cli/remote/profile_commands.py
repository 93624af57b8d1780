"""``balance-gateway profiles``: the gateways that the commands know by a name."""

from pathlib import Path

import click
from msgspec import structs

from balance_gateway.cli.remote.connection_options import profile_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import Model
from balance_gateway.cli.remote.output import Column, Output, Row, output_options
from balance_gateway.cli.usage import UsageError


class _Shown(Model, frozen=True):
    name: str
    url: str
    key: str
    ca_file: str | None
    default: bool


_COLUMNS = (
    Column[_Shown]("name", lambda each: each.name),
    Column[_Shown]("default", lambda each: "yes" if each.default else "no"),
    Column[_Shown]("url", lambda each: each.url, wraps=True),
    Column[_Shown]("key", lambda each: each.key, wraps=True, rank=2),
    Column[_Shown]("ca_file", lambda each: each.ca_file, wraps=True, rank=3),
)


@click.group()
def profiles() -> None:
    """Manage the profiles: the gateways that the commands know by a name."""


@profiles.command(
    "add",
    epilog=example(
        "profiles add production --url https://balances.example --key file:~/keys/gateway"
    ),
)
@click.argument("name")
@profile_options
def add(name: str, url: str, key: str, ca_file: Path | None, allow_plain_http: bool) -> None:
    """Add a profile; the first one becomes the default. The key itself is not stored."""
    from balance_gateway.cli.remote.connection import build_profile
    from balance_gateway.cli.remote.profiles import (
        changing_profiles,
        check_name,
        find_path,
        write_profiles,
    )

    check_name(name)
    profile = build_profile(url, key, ca_file, allow_plain_http=allow_plain_http)
    with changing_profiles() as known:
        if name in known.profiles:
            raise UsageError(
                f"There is a profile {name!r}; remove it first, or choose another name."
            )
        changed = known.add(name, profile)
        write_profiles(changed)
    default = ", the default" if changed.default == name else ""
    click.echo(f"Added {name!r}{default}, in {find_path()}")


@profiles.command("list", epilog=example("profiles list"))
@output_options
def list_(output: Output) -> None:
    """List the profiles with the references of their keys."""
    from balance_gateway.cli.remote.profiles import read_profiles

    known = read_profiles()
    rows = [
        Row(
            _Shown(
                name,
                str(profile.url),
                profile.key if profile.key.startswith(("env:", "file:")) else "***",
                None if profile.ca_file is None else str(profile.ca_file),
                name == known.default,
            )
        )
        for name, profile in sorted(known.profiles.items())
    ]
    output.print_rows(_COLUMNS, rows, "profiles")


@profiles.command("remove", epilog=example("profiles remove production"))
@click.argument("name")
def remove(name: str) -> None:
    """Remove a profile; the file of its key stays."""
    from balance_gateway.cli.remote.profiles import changing_profiles, write_profiles

    with changing_profiles() as known:
        known.find(name)
        write_profiles(known.remove(name))
    click.echo(f"Removed {name!r}")


@profiles.command("default", epilog=example("profiles default production"))
@click.argument("name")
def default(name: str) -> None:
    """Make a profile the one in use without --profile."""
    from balance_gateway.cli.remote.profiles import changing_profiles, write_profiles

    with changing_profiles() as known:
        known.find(name)
        write_profiles(structs.replace(known, default=name))
    click.echo(f"The default is {name!r}")

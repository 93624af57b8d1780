"""``balance-gateway accounts``: find accounts at the providers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.accounts import accounts
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings

if TYPE_CHECKING:
    from balance_gateway.app.account_discovery import Discovery


@accounts.command(
    "discover",
    epilog=example("accounts discover light_eu --config gateway.toml --format toml"),
)
@config_option
@click.option("--tenant", help="The company that the new accounts belong to.")
@click.option(
    "--business",
    "businesses",
    multiple=True,
    help="List this business only, at Asset and Layer. Can be repeated.",
)
@click.option("--name", default="", help="Show only accounts with this text in their name.")
@click.option(
    "--time-zone",
    callback=lambda *arguments: _check_time_zone(arguments[-1]),
    metavar="IANA_NAME",
    help="Put this time zone into the entries of toml where the provider names none.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "csv", "jsonl", "toml"]),
    default=None,
    help="table (default), csv, jsonl, or toml: [[accounts]] for those not configured.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the accounts as a JSON array.")
@click.argument("connector")
def discover(
    config_path: Path,
    tenant: str | None,
    businesses: tuple[str, ...],
    name: str,
    time_zone: str | None,
    output: str | None,
    as_json: bool,
    connector: str,
) -> None:
    """List the accounts that CONNECTOR reaches at its provider.

    Nothing is changed. An account that is configured, for any company, is marked. The calls count
    against the connector's budget, and wait for it.
    """
    from balance_gateway.app.account_discovery import discover_accounts
    from balance_gateway.config.conversion import describe_choice
    from balance_gateway.domain.errors import BadInput, GatewayError

    if as_json and output is not None:
        raise UsageError("--json and --format exclude each other; leave one of them out.")
    settings = load_settings(config_path)
    known = [one.name for one in settings.connectors]
    if not known:
        raise UsageError("The configuration has no connector: add a table [connectors.NAME].")
    if connector not in known:
        raise UsageError(f"CONNECTOR {describe_choice(connector, known)}")
    if tenant is not None and not tenant.strip():
        raise UsageError("--tenant must not be blank")
    try:
        discovery = asyncio.run(discover_accounts(settings, connector, tenant, businesses))
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(escape(error.message)) from None
    shown = [each for each in discovery.accounts if name.casefold() in each.listed.name.casefold()]
    _print(replace(discovery, accounts=shown), "json" if as_json else output or "table", time_zone)


def _check_time_zone(name: str | None) -> str | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name is not None:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise UsageError(
                f"--time-zone must be an IANA name such as Europe/Copenhagen, not {name!r}"
            ) from None
    return name


def _print(discovery: "Discovery", output: str, time_zone: str | None) -> None:
    from balance_gateway.cli import account_output

    formats: dict[str, Callable[[Discovery], str]] = {
        "json": account_output.format_json,
        "jsonl": account_output.format_json_lines,
        "csv": account_output.format_csv,
        "toml": partial(account_output.format_toml, time_zone=time_zone),
    }
    if output == "table":
        account_output.print_table(discovery)
    elif text := formats[output](discovery):
        click.echo(text)
    # Beside the accounts, so that a pipe gets nothing else.
    for line in account_output.format_summary(discovery):
        click.echo(line, err=True)
    if output == "table" and not all(one.is_configured for one in discovery.accounts):
        click.echo("--format toml prints the others as [[accounts]].", err=True)

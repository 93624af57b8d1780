"""``balance-gateway backup``: write a backup of the SQLite database."""

import dataclasses
import json
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings


@click.command()
@config_option
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(config_path: Path, force: bool, as_json: bool, file: Path) -> None:
    """Write a backup of the SQLite database to FILE, also while gateways run.

    The backup is the database as it is at one moment. FILE is complete and checked, or not there.
    PostgreSQL has pg_dump.
    """
    from balance_gateway.app.storage_commands import back_up_storage
    from balance_gateway.domain.errors import BadInput, GatewayError

    try:
        result = back_up_storage(load_settings(config_path), file, replace=force)
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        values = dataclasses.asdict(result)
        del values["kept"], values["paused_plans"]
        click.echo(json.dumps(values))
        return
    click.echo(
        f"Backed up to {result.file}: {result.size_bytes:,} bytes, checked, tables of version"
        f" {result.version}"
    )

"""``balance-gateway restore``: put a backup in the place of the SQLite database."""

import dataclasses
import json
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(config_path: Path, as_json: bool, file: Path) -> None:
    """Put the backup FILE in the place of the SQLite database.

    Stop every gateway first. FILE is checked, and only read. The former files of the database are
    kept beside it, under new names. PostgreSQL has pg_restore.
    """
    from balance_gateway.app.storage_commands import restore_storage
    from balance_gateway.domain.errors import BadInput, GatewayError

    try:
        result = restore_storage(load_settings(config_path), file)
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(result)))
        return
    click.echo(
        f"Restored {result.file}: {result.size_bytes:,} bytes, checked, tables of version"
        f" {result.version}"
    )
    if result.kept:
        click.echo(f"The former files are kept: {', '.join(result.kept)}")
    if result.paused_plans:
        plans = f"{result.paused_plans} plan{'' if result.paused_plans == 1 else 's'}"
        click.echo(
            f"Paused, since rows may have been sent after the backup: {plans}; see applyPlan"
        )
    click.echo("If there is a Redis, flush it before the gateways start.")

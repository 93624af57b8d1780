"""``balance-gateway restore``: put a backup in place, or finish what pg_restore did."""

import asyncio
import dataclasses
import json
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings

_FLUSH = "If there is a Redis, flush it before the gateways start."


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
def restore(config_path: Path, as_json: bool, file: Path | None) -> None:
    """Put the backup FILE in the place of the SQLite database.

    Stop every gateway first. FILE is checked, and only read. The former files of the database are
    kept beside it, under new names.

    PostgreSQL has pg_restore: run it into a new database, name that in storage.url, and then this
    command without FILE. It pauses the plans that were being applied when the backup was made.
    """
    from balance_gateway.app.storage_commands import (
        finish_restore,
        is_in_postgresql,
        restore_storage,
    )
    from balance_gateway.domain.errors import BadInput, GatewayError

    try:
        settings = load_settings(config_path)
        if file is None and is_in_postgresql(settings):
            paused_plans = asyncio.run(finish_restore(settings))
            if as_json:
                click.echo(json.dumps({"paused_plans": paused_plans}))
            else:
                click.echo(_describe_paused(paused_plans))
                click.echo(_FLUSH)
            return
        result = restore_storage(settings, file)
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
        click.echo(_describe_paused(result.paused_plans))
    click.echo(_FLUSH)


def _describe_paused(count: int) -> str:
    if not count:
        return "No plan was being applied when the backup was made."
    plans = f"{count} plan{'' if count == 1 else 's'}"
    return f"Paused, since rows may have been sent after the backup: {plans}; see applyPlan"

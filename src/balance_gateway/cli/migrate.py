"""``balance-gateway migrate``: create or migrate the tables of the storage."""

import asyncio
import json
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, config_option, load_settings


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def migrate(config_path: Path, as_json: bool) -> None:
    """Create the tables of the storage, or migrate them to this release.

    SQLite needs no command: serve and check do the same. On PostgreSQL run it as a role that may
    create tables, if the gateway's own role may not.
    """
    from balance_gateway.app.storage_commands import migrate_storage
    from balance_gateway.domain.errors import GatewayError

    try:
        version = asyncio.run(migrate_storage(load_settings(config_path)))
    except GatewayError as error:
        raise CommandError(error.message) from None
    click.echo(json.dumps({"version": version}) if as_json else f"Tables of version {version}")

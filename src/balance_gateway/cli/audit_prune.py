"""``balance-gateway audit prune``: export what is old in the audit log, and remove it."""

import asyncio
import json
from datetime import datetime
from pathlib import Path

import click

from balance_gateway.cli.remote.help import example
from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings


@click.command(
    "prune",
    epilog=example(
        "audit prune --config gateway.toml --before 2026-01-01 \\",
        "    --export audit-2025.jsonl",
    ),
)
@config_option
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="Writes with a row on or after this day (in UTC) stay.",
)
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write first; it must not exist.",
)
@click.option("--tenant", help="Prune this tenant only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def prune(
    config_path: Path, before: datetime, export: Path, tenant: str | None, as_json: bool
) -> None:
    """Export old writes with their audit rows to a file, then remove them; the rest still verifies.

    The last applied write of each account and every unsettled write stay. The removal is a row of
    the log. On PostgreSQL run it as the owner of the tables. Writes wait while it runs.
    """
    from balance_gateway.app.audit_retention import prune_audit
    from balance_gateway.domain.errors import BadInput, GatewayError

    if export.exists():
        raise UsageError(f"{export} exists: name another file")
    settings = load_settings(config_path)
    pruning = prune_audit(settings, before=before.date(), export=export, tenant=tenant)
    try:
        pruned = asyncio.run(pruning)
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        chains = [
            {"tenant": each.tenant, "removed_rows": each.rows, "removed_writes": each.writes}
            for each in pruned
        ]
        file = str(export) if pruned else None
        click.echo(json.dumps({"export": file, "tenants": chains}))
        return
    for each in pruned:
        of_writes = f"{each.writes} write{'' if each.writes == 1 else 's'}"
        click.echo(f"{each.tenant}: removed {each.rows} rows of {of_writes}")
    click.echo(f"Exported to {export}" if pruned else "Nothing is old enough; no file was written")

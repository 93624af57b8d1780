"""``balance-gateway local``: manage the embedded ledger."""

import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click

from balance_gateway.cli.usage import CommandError, config_option, load_settings


@click.group()
def local() -> None:
    """Manage the embedded ledger."""


@local.command("import")
@config_option
@click.option(
    "--account", "account_id", required=True, help="Id of the account in the configuration."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def import_(config_path: Path, account_id: str, as_json: bool, file: str) -> None:
    """Import ledger entries from a CSV file: all of its rows or none; - is standard input.

    The columns are id, book (bank or ledger), date, amount and, optionally, description. Rows that
    were imported before are skipped, so a file can be imported again. Ctrl-C cancels the import: it
    ends within two seconds, with exit code 130.
    """
    from balance_gateway.app.ledger_import import import_ledger_entries
    from balance_gateway.domain.errors import GatewayError

    settings = load_settings(config_path)
    # Rows are in no reference cycles, and looking for some among them takes as long as the import.
    gc.disable()
    path = None if file == "-" else Path(file)
    with _show_progress() as on_progress:
        try:
            result = asyncio.run(
                import_ledger_entries(settings, account_id, path, on_progress, _exit_interrupted)
            )
        except KeyboardInterrupt:
            _exit_interrupted()
        except GatewayError as error:
            raise CommandError(error.message) from None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(result)))
        return
    click.echo(f"{result.added} entries added, {result.already_there} skipped as already imported")
    if result.before_opening:
        click.echo(
            f"Bank rows dated before the opening balance: {result.before_opening}. They do not "
            "count in the bank balance."
        )


def _exit_interrupted() -> NoReturn:
    """End the process as after SIGINT, at once: the database drops what was not committed."""
    click.echo(
        "\nInterrupted. Nothing was imported, unless the import had just ended; to import the file,"
        " run the command again.",
        err=True,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def _show_progress() -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if stderr is a terminal; yield a function that updates it."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("import", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""``balance-gateway audit export``: download the audit log of a running gateway to a file."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.audit_results import print_verification, refuse_broken
from balance_gateway.cli.new_files import Exists, publish, refuse_existing, staging_folder
from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.usage import CommandError, UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient


@click.command("export", epilog=example("audit export audit-2026-05.jsonl"))
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@connection_options
def export(client: "GatewayClient", path: Path, as_json: bool) -> None:
    """Download your company's audit log to a new file, and verify it. Needs audit:read.

    The file is there when it is complete, for its owner only. 'audit verify --file' verifies it
    again, without a gateway.
    """
    from balance_gateway.app.audit_verification import verify_audit_file
    from balance_gateway.cli.remote.audit_download import download_audit_log
    from balance_gateway.domain.errors import GatewayError

    try:
        refuse_existing([path])
        with staging_folder(path.parent) as folder:
            staged = folder / "export.jsonl"
            download_audit_log(client, staged)
            result = verify_audit_file(staged)
            with contextlib.ExitStack() as undo:
                publish(staged, path, undo)
                # Kept also if the log is broken: it shows what is broken.
                undo.pop_all()
    except Exists as exists:
        raise UsageError(f"{exists}.") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    except GatewayError as error:
        raise CommandError(error.message) from None
    print_verification(result, as_json=as_json)
    if not as_json:
        click.echo(f"Exported to {path}")
    refuse_broken(result)

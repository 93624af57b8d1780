"""``balance-gateway audit``: list, export, verify and prune the audit log."""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.audit_export import export
from balance_gateway.cli.audit_prune import prune
from balance_gateway.cli.audit_results import print_verification, refuse_broken
from balance_gateway.cli.remote.audit_entries import list_
from balance_gateway.cli.remote.connection_options import Connect, optional_connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.usage import CommandError, UsageError, load_settings

if TYPE_CHECKING:
    from balance_gateway.app.audit_verification import Verification

_HASH = re.compile(r"[0-9a-f]{64}")


@click.group()
def audit() -> None:
    """List, export or verify the audit log, or remove what is old from it."""


for command in (list_, export, prune):
    audit.add_command(command)


@audit.command(
    "verify",
    epilog=example(
        "audit verify --config gateway.toml",
        "audit verify --file audit-2025.jsonl --head 5f0c…",
        "audit verify --profile production",
    ),
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="BALANCE_GATEWAY_CONFIG",
    help="Path of the configuration file (environment: BALANCE_GATEWAY_CONFIG).",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Verify this export instead of the storage; needs no configuration.",
)
@click.option("--tenant", help="Verify this tenant only.")
@click.option(
    "--head",
    "heads",
    multiple=True,
    help="A hash that must be in the log: a head printed earlier. Can be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@optional_connection_options
def verify(
    connect: Connect | None,
    config_path: Path | None,
    file: Path | None,
    tenant: str | None,
    heads: tuple[str, ...],
    as_json: bool,
) -> None:
    """Verify the hash chain of each tenant's audit log, row by row.

    It prints the number of rows and the head, the hash of the last row. Note the heads outside of
    the database: only --head with an earlier one shows that the end of the log was cut off. The
    exit code is 1 if a chain is broken or lacks a head.

    With --file it verifies an export by itself, also one that begins in the middle of a chain.
    With --url and --key, or --profile, it downloads the log of your company and verifies it.
    """
    expected = [head.lower() for head in heads]
    if not all(_HASH.fullmatch(head) for head in expected):
        raise UsageError("--head must be a hash of 64 hexadecimal digits, as this command prints")
    result = _verify(connect, config_path, file, tenant, expected)
    print_verification(result, as_json=as_json)
    is_absent = tenant is not None and not result.chains
    refuse_broken(result, *([f"tenant {tenant!r} has no row"] if is_absent else []))


def _verify(
    connect: Connect | None,
    config_path: Path | None,
    file: Path | None,
    tenant: str | None,
    heads: list[str],
) -> "Verification":
    from balance_gateway.app.audit_verification import verify_audit, verify_audit_file
    from balance_gateway.domain.errors import BadInput, GatewayError

    try:
        if connect is not None:
            if file is not None or tenant is not None:
                option = "--file" if file is not None else "--tenant"
                raise UsageError(f"{option} and a gateway exclude each other; leave one out")
            return _verify_remote(connect, heads)
        if file is not None:
            if tenant is not None:
                raise UsageError("--tenant is for the storage: an export is verified as a whole")
            return verify_audit_file(file, heads=heads)
        if config_path is None:
            raise UsageError(
                "give --config for the storage, --file for an export, or --url and --key or"
                " --profile for a running gateway"
            )
        settings = load_settings(config_path)
        return asyncio.run(verify_audit(settings, tenant=tenant, heads=heads))
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(error.message) from None


def _verify_remote(connect: Connect, heads: list[str]) -> "Verification":
    from balance_gateway.app.audit_verification import verify_audit_file
    from balance_gateway.cli.remote.audit_download import download_audit_log

    with connect() as client, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        download_audit_log(client, path)
        return verify_audit_file(path, heads=heads)

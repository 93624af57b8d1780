"""``balance-gateway check``: validates the configuration and tries each connector with a read."""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.usage import CommandError, config_option, load_settings

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What a read through one connector, or of the storage, came to.

    Attributes:
        name: the connector's name, or what else was tried.
        kind: the provider, or ``storage`` or ``cache``.
        ok: whether it worked.
        code: the stable code of the error; empty when it worked.
        message: what to do about it, or what could not be shown; else empty.
    """

    name: str
    kind: str
    ok: bool
    code: str = ""
    message: str = ""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def check(config_path: Path, as_json: bool) -> None:
    """Validate the configuration and try each connector with a read. Exit 1 if one fails."""
    from balance_gateway.domain.errors import GatewayError

    try:
        findings = asyncio.run(_findings(load_settings(config_path)))
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print_table(findings)
    failed = [finding.name for finding in findings if not finding.ok]
    if failed:
        raise CommandError(f"{len(failed)} of {len(findings)} failed: {', '.join(failed)}")


async def _findings(settings: "Settings") -> list[Finding]:
    from balance_gateway.app import open_probes

    async with open_probes(settings) as by_name:
        return await asyncio.gather(
            *(_finding(name, kind, probe) for name, (kind, probe) in by_name.items())
        )


async def _finding(name: str, kind: str, probe: object) -> Finding:
    from balance_gateway.domain.errors import GatewayError, Unsupported

    assert callable(probe)
    try:
        await probe()
    except Unsupported as unproven:
        # The address answers and does not offer this read: that is no failure, and no proof.
        return Finding(name, kind, ok=True, message=unproven.message)
    except GatewayError as error:
        return Finding(name, kind, ok=False, code=error.code, message=error.message)
    return Finding(name, kind, ok=True)


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "kind", "result", "what to do")
    for finding in findings:
        result = "[green]ok[/]" if finding.ok else f"[red]{finding.code}[/]"
        table.add_row(finding.name, finding.kind, result, finding.message)
    Console().print(table)

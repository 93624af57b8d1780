"""``balance-gateway check``: validate the configuration and test each connector with a read."""

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
    """The result of one check.

    Attributes:
        name: the connector's name, or ``storage`` or ``cache``.
        kind: the provider, or ``storage`` or ``cache``.
        ok: whether the check succeeded.
        code: the text of the ``ErrorCode``; empty on success.
        message: the error and what to do, or what a successful check could not verify or advises to
            change; else empty.
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
    """Validate the configuration and test each connector with one read.

    Storage and a shared cache are tested too. The exit code is 1 if a check fails.
    """
    from balance_gateway.domain.errors import GatewayError

    try:
        findings = asyncio.run(_run_checks(load_settings(config_path)))
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print_table(findings)
    failed = [finding.name for finding in findings if not finding.ok]
    if failed:
        raise CommandError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")


async def _run_checks(settings: "Settings") -> list[Finding]:
    from balance_gateway.app import open_probes

    async with open_probes(settings) as probes:
        return await asyncio.gather(
            *(_run_check(name, kind, probe) for name, (kind, probe) in probes.items())
        )


async def _run_check(name: str, kind: str, probe: object) -> Finding:
    from balance_gateway.domain.errors import GatewayError, Unsupported

    assert callable(probe)
    try:
        note = await probe()
    except Unsupported as unsupported:
        # The provider responds but does not offer this read: neither a failure nor a proof.
        return Finding(name, kind, ok=True, message=unsupported.message)
    except GatewayError as error:
        # The reason that is for operators only.
        message = getattr(error, "reason", "") or error.message
        return Finding(name, kind, ok=False, code=error.code.value, message=message)
    return Finding(name, kind, ok=True, message=note or "")


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "kind", "result", "what to do")
    for finding in findings:
        result = "[green]ok[/]" if finding.ok else f"[red]{finding.code}[/]"
        table.add_row(finding.name, finding.kind, result, finding.message)
    Console().print(table)

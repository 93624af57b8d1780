"""``balance-gateway audit``: verify the audit log, in the storage or in an export, and prune it."""

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.audit_prune import prune
from balance_gateway.cli.usage import CommandError, UsageError, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from balance_gateway.app.audit_verification import Verification, VerifiedChain

_HASH = re.compile(r"[0-9a-f]{64}")


@click.group()
def audit() -> None:
    """Verify the audit log, or remove what is old from it."""


audit.add_command(prune)


@audit.command("verify")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="BALANCE_GATEWAY_CONFIG",
    help="Path of the configuration file (environment: BALANCE_GATEWAY_CONFIG).",
)
@click.option(
    "--file",
    "export",
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
def verify(
    config_path: Path | None,
    export: Path | None,
    tenant: str | None,
    heads: tuple[str, ...],
    as_json: bool,
) -> None:
    """Verify the hash chain of each tenant's audit log, row by row.

    It prints the number of rows and the head, the hash of the last row. Note the heads outside of
    the database: only --head with an earlier one shows that the end of the log was cut off. The
    exit code is 1 if a chain is broken or lacks a head.

    With --file it verifies an export by itself, also one that begins in the middle of a chain.

    Example: balance-gateway audit verify --file audit-2025.jsonl --head 5f0c…
    """
    expected = [head.lower() for head in heads]
    if not all(_HASH.fullmatch(head) for head in expected):
        raise UsageError("--head must be a hash of 64 hexadecimal digits, as this command prints")
    result = _verify(config_path, export, tenant, expected)
    _print(result, as_json=as_json)
    problems = _find_problems(result)
    if tenant is not None and not (result.chains or result.plan_chains):
        problems.append(f"tenant {tenant!r} has no row")
    if problems:
        raise CommandError(f"the audit log is not whole: {'; '.join(problems)}")


def _verify(
    config_path: Path | None, export: Path | None, tenant: str | None, heads: list[str]
) -> "Verification":
    from balance_gateway.app import verify_audit, verify_audit_file
    from balance_gateway.domain.errors import BadInput, GatewayError

    try:
        if export is not None:
            if tenant is not None:
                raise UsageError("--tenant is for the storage: an export is verified as a whole")
            return verify_audit_file(export, heads=heads)
        if config_path is None:
            raise UsageError("give --config for the storage, or --file for an export")
        settings = load_settings(config_path)
        return asyncio.run(verify_audit(settings, tenant=tenant, heads=heads))
    except BadInput as error:
        raise UsageError(error.message) from None
    except GatewayError as error:
        raise CommandError(error.message) from None


def _print(result: "Verification", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_to_json(result)))
        return
    for chain in result.chains:
        rows = f"{chain.rows} row{'' if chain.rows == 1 else 's'}"
        if chain.earlier_rows:
            rows += f" after {chain.earlier_rows} of a release without hashes"
        if chain.removed_rows:
            rows += f", {chain.removed_rows} removed by retention"
        if chain.begins_at is not None:
            rows += f", from row {chain.begins_at} on"
        end = f"head {chain.head}" if chain.head else "no head"
        click.echo(f"{chain.tenant}: {rows}, {end}{'' if chain.broken is None else ', broken'}")
    for chain in result.plan_chains:
        rows = f"{chain.rows} row{'' if chain.rows == 1 else 's'} of plans"
        end = f"head {chain.head}{'' if chain.broken is None else ', broken'}"
        click.echo(f"{chain.tenant}: {rows}, {end}")


def _to_json(result: "Verification") -> dict[str, object]:
    return {
        "tenants": _list_chains(result.chains),
        "plans": _list_chains(result.plan_chains),
        "missing_heads": list(result.missing_heads),
        "differing_writes": list(result.differing_writes),
    }


def _list_chains(chains: "Sequence[VerifiedChain]") -> list[dict[str, object]]:
    return [
        {
            "tenant": chain.tenant,
            "rows": chain.rows,
            "earlier_rows": chain.earlier_rows,
            "removed_rows": chain.removed_rows,
            "begins_at": chain.begins_at,
            "head": chain.head,
            "broken": None
            if chain.broken is None
            else {"number": chain.broken.number, "reason": chain.broken.reason},
        }
        for chain in chains
    ]


def _find_problems(result: "Verification") -> list[str]:
    broken = [
        f"row {chain.broken.number} of tenant {chain.tenant!r}: {chain.broken.reason}"
        for chain in result.chains
        if chain.broken is not None
    ]
    broken += [
        f"row {chain.broken.number} of the plans of tenant {chain.tenant!r}: {chain.broken.reason}"
        for chain in result.plan_chains
        if chain.broken is not None
    ]
    cut = "not in it: its end was cut off, or it is another log"
    if any(chain.removed_rows for chain in result.chains):
        cut += ", or its row was removed by retention and is in the export of that"
    if result.differing_writes:
        count, first = len(result.differing_writes), result.differing_writes[0]
        broken.append(f"{count} in the journal differ from their newest row, first write {first}")
    return broken + [f"the head {head} is {cut}" for head in result.missing_heads]

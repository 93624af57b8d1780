"""Prints the verification of an audit log, and names what is wrong with it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError

if TYPE_CHECKING:
    from balance_gateway.app.audit_verification import Verification, VerifiedChain


def print_verification(result: "Verification", *, as_json: bool) -> None:
    """Print the chains of each tenant with their heads."""
    if as_json:
        click.echo(json.dumps(_to_json(result)))
        return
    if not result.chains:
        click.echo("The audit log has no rows.", err=True)
    for chain in result.chains:
        click.echo(f"{escape(chain.tenant)}: {_describe_chain(chain)}")


def refuse_broken(result: "Verification", *problems: str) -> None:
    """Check that a log is whole.

    Raises:
        CommandError: it is not, or there are further problems.
    """
    found = [*_find_problems(result), *problems]
    if found:
        raise CommandError(f"the audit log is not whole: {'; '.join(found)}")


def _describe_chain(chain: "VerifiedChain") -> str:
    rows = f"{chain.rows} row{'' if chain.rows == 1 else 's'}"
    if chain.earlier_rows:
        rows += f" after {chain.earlier_rows} of a release without hashes"
    if chain.removed_rows:
        rows += f", {chain.removed_rows} removed by retention"
    if chain.begins_at is not None:
        rows += f", from row {chain.begins_at} on"
    end = f"head {chain.head}" if chain.head else "no head"
    return f"{rows}, {end}{'' if chain.broken is None else ', broken'}"


def _to_json(result: "Verification") -> dict[str, object]:
    return {
        "tenants": _list_chains(result.chains),
        "missing_heads": list(result.missing_heads),
        "differing_writes": list(result.differing_writes),
    }


def _list_chains(chains: Sequence["VerifiedChain"]) -> list[dict[str, object]]:
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
    cut = "not in it: its end was cut off, or it is another log"
    if any(chain.removed_rows for chain in result.chains):
        cut += ", or its row was removed by retention and is in the export of that"
    if result.differing_writes:
        count, first = len(result.differing_writes), result.differing_writes[0]
        broken.append(f"{count} in the journal differ from their newest row, first write {first}")
    return broken + [f"the head {head} is {cut}" for head in result.missing_heads]

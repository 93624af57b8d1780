"""``balance-gateway check``: validate the configuration, and test connectors and accounts."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError, UsageError, config_option, load_settings

if TYPE_CHECKING:
    from balance_gateway.app.probes import Checks
    from balance_gateway.config.settings import Settings
    from balance_gateway.domain.accounts import Account


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: the name of the connector, the id of the account, or ``storage`` or ``cache``.
        kind: the provider for a connector, ``account``, ``storage`` or ``cache``.
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
@click.option(
    "--accounts",
    "with_accounts",
    is_flag=True,
    help="Also ask each account at its provider, or only those with the given ids.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.argument("account_ids", nargs=-1, metavar="[ID]...")
def check(
    config_path: Path, with_accounts: bool, as_json: bool, account_ids: tuple[str, ...]
) -> None:
    """Validate the configuration and test each connector with one read.

    Storage and a shared cache are tested too. With --accounts the balance, the opening balance and
    the bank feed of each account are read as well, within the connectors' budgets, which can take
    minutes. The exit code is 1 if a check fails.
    """
    from balance_gateway.domain.errors import GatewayError

    if account_ids and not with_accounts:
        raise UsageError("Ids of accounts are for --accounts.")
    settings = load_settings(config_path)
    accounts = _select_accounts(settings, account_ids) if with_accounts else []
    try:
        findings, by_account = asyncio.run(_run_checks(settings, accounts))
    except GatewayError as error:
        raise CommandError(error.message) from None
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in [*findings, *by_account]]))
    else:
        _print_table(findings)
        if with_accounts:
            _print_accounts(by_account)
    _refuse_failures(findings, by_account)


def _select_accounts(settings: "Settings", account_ids: Sequence[str]) -> Sequence["Account"]:
    """Return the accounts with these ids in the order of the file; all without ids."""
    unknown = set(account_ids) - {account.id for account in settings.accounts}
    if unknown:
        raise UsageError(f"The configuration has no account {min(unknown)!r}.")
    return [one for one in settings.accounts if not account_ids or one.id in account_ids]


def _refuse_failures(findings: Sequence[Finding], by_account: Sequence[Finding]) -> None:
    failed = [finding.name for finding in findings if not finding.ok]
    failed_accounts = sum(not finding.ok for finding in by_account)
    problems = []
    if failed:
        problems.append(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")
    if failed_accounts:
        problems.append(f"{failed_accounts} of {len(by_account)} accounts failed")
    if problems:
        raise CommandError(escape("; ".join(problems)))


async def _run_checks(
    settings: "Settings", accounts: Sequence["Account"]
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings of the probes, and those of the accounts."""
    from balance_gateway.app.probes import open_checks

    async with open_checks(settings) as checks:
        probes = checks.probes.items()
        findings = await asyncio.gather(
            *(_run_check(name, kind, probe) for name, (kind, probe) in probes)
        )
        by_account = await _check_accounts(checks, accounts) if accounts else []
    return findings, by_account


async def _check_accounts(checks: "Checks", accounts: Sequence["Account"]) -> list[Finding]:
    derived = [one for one in accounts if one.derive_opening_balance_as_of is not None]
    with _show_progress(len(accounts) + len(derived)) as on_progress:
        failures = await checks.check_accounts(accounts, on_progress)
    findings = []
    for account_id, errors in failures.items():
        code = errors[0].code.value if errors else ""
        message = " ".join(" ".join(error.message for error in errors).split())
        findings.append(Finding(account_id, "account", not errors, code, message))
    return findings


@contextlib.contextmanager
def _show_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal; yield a function that updates it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("balances"), BarColumn(), MofNCompleteColumn())
    disabled = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=disabled, transient=True) as bar:
        task = bar.add_task("balances", total=total)
        yield lambda done: bar.update(task, completed=done)


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
    from rich.text import Text

    table = Table("name", "kind", "result", "what to do")
    for finding in findings:
        result = Text("ok", "green") if finding.ok else Text(finding.code, "red")
        # As Text: a name or a message may look like rich's markup.
        name, message = (Text(escape(text)) for text in (finding.name, finding.message))
        table.add_row(name, finding.kind, result, message)
    Console().print(table)


def _print_accounts(by_account: Sequence[Finding]) -> None:
    failed = [finding for finding in by_account if not finding.ok]
    # Not in a table, which would break long lines: each account is one line.
    for finding in failed:
        click.echo(escape(f"{finding.name}: {finding.code}: {finding.message}"))
    click.echo(f"{len(by_account)} accounts asked, {len(failed)} failed")

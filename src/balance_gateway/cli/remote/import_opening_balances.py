"""``balance-gateway opening-balances import``: make a plan of the opening balances in a file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.opening_balance_file.amounts import (
    DecimalMark,
    FoundMark,
    find_decimal_mark,
)
from balance_gateway.cli.remote.opening_balance_file.columns import (
    map_columns,
    parse_column_options,
)
from balance_gateway.cli.remote.opening_balance_file.reading import (
    SEPARATORS,
    CsvFile,
    name_separator,
    open_csv,
)
from balance_gateway.cli.remote.opening_balance_file.rows import (
    Problems,
    ReadRow,
    SentRow,
    convert_rows,
    read_rows,
)
from balance_gateway.cli.remote.output import Output, output_options
from balance_gateway.cli.remote.plan_commands import apply_plan
from balance_gateway.cli.remote.plan_output import print_plan
from balance_gateway.cli.remote.plan_sending import read_plan_accounts, send_rows
from balance_gateway.cli.remote.plans import wait_while
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError, UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_MARKS: Mapping[str, DecimalMark] = {"comma": ",", "point": "."}
#: The bad rows that are printed.
_PROBLEMS_MAX = 1000


@click.command(
    "import",
    epilog=example(
        "opening-balances import openings.csv",
        "opening-balances import openings.csv --column account=Konto --decimal comma \\",
        "    --needs-approval",
    ),
)
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=HEADER",
    help="The column of account, amount, date, currency, memo or reference; repeatable. By"
    " default the usual headers.",
)
@click.option(
    "--separator",
    type=click.Choice(list(SEPARATORS)),
    help="What is between cells; by default guessed from the first line.",
)
@click.option(
    "--decimal",
    type=click.Choice(list(_MARKS)),
    help="What is before decimals; by default guessed if the amounts leave no doubt.",
)
@click.option(
    "--needs-approval", is_flag=True, help="Another principal must approve the plan before."
)
@click.option("--apply", "applies", is_flag=True, help="Apply the plan at once, after a question.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@output_options
@connection_options
def import_(
    client: "GatewayClient",
    output: Output,
    path: Path,
    columns: tuple[str, ...],
    separator: str | None,
    decimal: str | None,
    needs_approval: bool,
    applies: bool,
    yes: bool,
) -> None:
    """Make a plan of the opening balances in a CSV file, and show it; - is standard input.

    Nothing is set before the plan is applied. A day means its start in the account's time zone, an
    instant needs an offset. If a row is wrong each of them is named with its line, and no plan is
    made. Needs balances:read and balances:write.
    """
    _check_apply_options(output, needs_approval=needs_approval, applies=applies, yes=yes)
    chosen = parse_column_options(columns)
    problems = Problems()
    with open_csv(path, None if separator is None else SEPARATORS[separator]) as file:
        found = map_columns(file.headers, chosen)
        read = read_rows(file, found, problems)
    mark, is_shown = _choose_mark(read, decimal)
    _show_reading(file, found, mark if is_shown else None)
    rows = _convert(client, read, mark, problems)
    del read
    begun = send_rows(client, rows, needs_approval=needs_approval)
    plan = wait_while(client, begun, ("READING",), "accounts")
    # A document or a list for a program is printed once.
    if not applies or output.is_table or plan.state != "READY":
        print_plan(client, output, plan)
    if not applies:
        return
    if plan.state != "READY":
        raise CommandError(f"The plan is {escape(plan.state)}; it was not applied.")
    if not yes and not click.confirm("Apply it?", err=True):
        raise CommandError("Not applied.")
    apply_plan(client, output, plan.id)


def _check_apply_options(output: Output, *, needs_approval: bool, applies: bool, yes: bool) -> None:
    if yes and not applies:
        raise UsageError("--yes is for --apply.")
    if applies and needs_approval:
        raise UsageError(
            "--apply and --needs-approval exclude each other: another principal approves the plan"
            " first."
        )
    if applies and not yes and not (sys.stdin.isatty() and output.is_table):
        raise UsageError("--apply needs --yes where it cannot ask: in a pipe, or with --format.")


def _choose_mark(rows: Sequence[ReadRow], decimal: str | None) -> tuple[DecimalMark, bool]:
    """Return the decimal mark, and whether an amount depends on it."""
    found = find_decimal_mark((row.line, row.amount) for row in rows)
    depends = bool(found.lines) or found.ambiguous_line is not None
    if decimal is not None:
        return _MARKS[decimal], depends
    if found.mark is not None:
        return found.mark, True
    if depends:
        raise UsageError(_describe_doubt(found))
    return ".", False


def _describe_doubt(found: FoundMark) -> str:
    if found.lines:
        return (
            f"The amount on line {found.lines[',']} has a decimal comma, that on line"
            f" {found.lines['.']} a decimal point: give --decimal comma or --decimal point; the"
            " rows that do not fit are then named."
        )
    return (
        f"The amount on line {found.ambiguous_line} can be read in two ways, and no other one shows"
        " whether its mark is before decimals or between thousands: give --decimal comma or"
        " --decimal point."
    )


def _show_reading(file: CsvFile, columns: Mapping[str, int], mark: DecimalMark | None) -> None:
    named = {index: field for field, index in columns.items()}
    shown = ", ".join(f"{field}={file.headers[index].strip()}" for field, index in columns.items())
    unused = [name.strip() for index, name in enumerate(file.headers) if index not in named]
    parts = [f"separator {name_separator(file.separator)}"]
    if mark is not None:
        parts.append(f"decimal {next(name for name, each in _MARKS.items() if each == mark)}")
    parts.append(f"columns {shown}")
    if unused:
        parts.append(f"not used: {', '.join(name or '(empty)' for name in unused)}")
    click.echo(escape(f"Read as: {'; '.join(parts)}"), err=True)


def _convert(
    client: "GatewayClient", read: Sequence[ReadRow], mark: DecimalMark, problems: Problems
) -> list[SentRow]:
    """Return the rows to send.

    Raises:
        CommandError: rows are wrong; each was printed.
    """
    count = len(read) + len(problems.by_line)
    try:
        accounts = read_plan_accounts(client, [row.account_id for row in read])
        rows = list(convert_rows(read, accounts, mark, problems))
    except CommandError:
        # Without the gateway some problems are known already.
        _print_problems(problems)
        raise
    if problems.by_line:
        _print_problems(problems)
        raise CommandError(
            f"{len(problems.by_line)} of {count} rows are wrong, so no plan was made. Correct them,"
            " and import the file again."
        )
    return rows


def _print_problems(problems: Problems) -> None:
    found = sorted(problems.by_line.items())
    for line, problem in found[:_PROBLEMS_MAX]:
        click.echo(escape(f"Line {line}: {problem}"), err=True)
    if len(found) > _PROBLEMS_MAX:
        click.echo(f"… and {len(found) - _PROBLEMS_MAX} more lines", err=True)

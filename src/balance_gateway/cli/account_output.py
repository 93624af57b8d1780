"""Show discovered accounts: as a table, CSV, JSON, or entries of the configuration file."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from balance_gateway.cli.remote.text import escape, to_csv_cell
from balance_gateway.config.toml_text import format_value

if TYPE_CHECKING:
    from balance_gateway.app.account_discovery import DiscoveredAccount, Discovery

_COLUMNS = ("id", "configured", "name", "currency", "time_zone", "side", "kind", "note")

#: The width of a table that is not shown in a terminal.
_PIPE_WIDTH = 160


def format_json(discovery: "Discovery") -> str:
    """Format the accounts as one JSON array."""
    return json.dumps([_to_values(one) for one in discovery.accounts], indent=2)


def format_json_lines(discovery: "Discovery") -> str:
    """Format each account as a line of JSON."""
    rows = (json.dumps(_to_values(one)) for one in discovery.accounts)
    return "\n".join(rows)


def format_csv(discovery: "Discovery") -> str:
    """Format the accounts as CSV with a heading; no cell is a formula."""
    keys = list(dict.fromkeys(key for one in discovery.accounts for key in one.listed.remote))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *keys])
    for one in discovery.accounts:
        values: dict[str, object] = {**_to_values(one), **one.listed.remote}
        writer.writerow([_to_cell(values.get(key)) for key in (*_COLUMNS, *keys)])
    return text.getvalue().rstrip("\n")


def print_table(discovery: "Discovery") -> None:
    """Print the accounts as a table that fits the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    rows = [
        {**_to_values(one), "configured": "yes" if one.is_configured else ""}
        for one in discovery.accounts
    ]
    # A column without any value would only take room.
    columns = [each for each in _COLUMNS if each == "id" or any(row[each] for row in rows)]
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As Text: a name may look like rich's markup.
        table.add_row(*(Text(escape(str(row[column] or ""))) for column in columns))
    console.print(table)


def format_toml(discovery: "Discovery", time_zone: str | None = None) -> str:
    """Format the accounts that are not configured as entries of the configuration file.

    What the provider does not name is a comment to complete. A currency is never guessed: without
    one the start is stopped.

    Args:
        discovery: the accounts.
        time_zone: the IANA name for accounts whose provider names none; None for a comment.
    """
    new = [one for one in discovery.accounts if not one.is_configured]
    # Each begins with an empty line, so that an appended one is apart from the text before it.
    return "\n".join("\n".join(("", *_format_entry(discovery, one, time_zone))) for one in new)


def _format_entry(
    discovery: "Discovery", one: "DiscoveredAccount", time_zone: str | None
) -> Iterator[str]:
    prefix = "# " if one.listed.is_closed else ""
    if one.listed.note:
        yield f"# {escape(one.listed.note)}"
    for line in _list_lines(discovery, one, one.listed.time_zone or time_zone):
        # A comment of a closed account's entry stays one when the entry is uncommented.
        yield f"{prefix}{line}"


def _list_lines(
    discovery: "Discovery", one: "DiscoveredAccount", time_zone: str | None
) -> Iterator[str]:
    connector, listed = discovery.connector, one.listed
    provider = connector.provider.value.replace("_", " ").capitalize()
    yield "[[accounts]]"
    yield f"id = {format_value(one.id)}"
    yield _format_or_ask("tenant", discovery.tenant, "must be set; --tenant does it")
    yield f"connector = {format_value(connector.name)}"
    yield _format_or_ask("name", listed.name, f"must be set: {provider} names none")
    yield _format_currency(discovery, one, provider)
    if time_zone is None:
        yield f'# time_zone = "Europe/Copenhagen"  # {provider} names none; UTC without one'
    else:
        yield f"time_zone = {format_value(time_zone)}"
    yield from (f"{key} = {format_value(value)}" for key, value in listed.remote.items())
    if listed.side is None:
        yield '# normal_balance = "debit"  # or "credit", for money that is owed'
    else:
        yield f'# normal_balance = "{listed.side.value}"  # as {provider} reports it'
    if discovery.derivation_day is not None:
        yield f"# derive_opening_balance_as_of = 2025-12-31  # {discovery.derivation_day}"


def _format_or_ask(key: str, value: str | None, demand: str) -> str:
    """Format a required key; without a value it is a comment, and the start is stopped."""
    return f"{key} = {format_value(value)}" if value else f'# {key} = ""  # {demand}'


def _format_currency(discovery: "Discovery", one: "DiscoveredAccount", provider: str) -> str:
    default = discovery.connector.settings.currency
    if one.currency is None and default is not None and not one.currency_problem:
        return f"# currency = {format_value(str(default))}  # the connector's"
    return _format_or_ask(
        "currency", one.currency, f"must be set: {one.currency_problem or f'{provider} names none'}"
    )


def _to_values(one: "DiscoveredAccount") -> Mapping[str, object]:
    listed = one.listed
    return {
        "id": one.id,
        "configured": one.is_configured,
        "name": listed.name,
        "currency": one.currency,
        "time_zone": listed.time_zone,
        "side": None if listed.side is None else listed.side.value,
        "kind": listed.kind,
        "note": "; ".join(filter(None, (listed.note, one.currency_problem))),
        "remote": dict(listed.remote),
    }


def _to_cell(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    return to_csv_cell(text)


def format_summary(discovery: "Discovery") -> Sequence[str]:
    """Return lines that say how many accounts there are, and what was left out."""
    count = len(discovery.accounts)
    configured = sum(one.is_configured for one in discovery.accounts)
    lines = [f"{count} account{'' if count == 1 else 's'}, {configured} configured"]
    return [*lines, *(f"left out: {each} {why}" for why, each in discovery.skipped.items())]

"""``balance-gateway explain``: why a balance is what it is, on one screen."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import click
import msgspec

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import DAY
from balance_gateway.cli.remote.explanations import (
    EXPLANATION,
    Age,
    BalancePart,
    Call,
    Explanation,
    Kept,
    OpeningPart,
)
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.output import Output, find_width, to_seconds
from balance_gateway.cli.remote.tables import lay_out_record
from balance_gateway.cli.remote.text import escape

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

#: A title and its value.
_Line = tuple[str, str]

_TITLES = {"BANK": "bank", "LEDGER": "ledger", "OPENING_BALANCE": "raw"}
_UNITS = {"MINOR_UNITS": "minor units", "CENTS": "cents", "MAJOR_UNITS": "major units"}


@click.command(
    epilog=example(
        "explain layer-operating-checking", "explain light-operating-eur --as-of 2026-05-07"
    )
)
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--as-of", type=DAY, help="The day; by default today in the account's time zone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@connection_options
def explain(client: "GatewayClient", account_id: str, as_of: date | None, as_json: bool) -> None:
    """Explain a balance and the opening balance of an account. Needs audit:read.

    It shows the calls to the provider, the raw figures, unit, side and rule, the day and its bound,
    what is kept until when, and what makes the figures doubtful. The provider is asked for it.
    """
    document = (
        "query ($id: ID!, $asOf: Date)"
        f" {{ explainBalance(accountId: $id, asOf: $asOf) {EXPLANATION} }}"
    )
    day = None if as_of is None else as_of.isoformat()
    answer = client.read(document, id=account_id, asOf=day)
    explanation: Explanation = answer.take("explainBalance", Explanation)
    if as_json:
        Output("json").print_document(msgspec.to_builtins(explanation))
        return
    output = Output("table")
    parts = (_describe_account, _describe_balance, _describe_opening, _describe_doubts)
    lines = [(title, escape(text)) for part in parts for title, text in part(explanation)]
    for line in lay_out_record(lines, find_width(), breaks_words=True):
        output.print_line(line)


def _describe_account(explanation: Explanation) -> Iterator[_Line]:
    side = explanation.configured_side
    yield "account", f"{explanation.account_id}: {explanation.account_name}"
    yield (
        "source",
        f"{explanation.provider.lower()}, connector {explanation.connector.name},"
        f" {explanation.currency}, normal side {side or 'as the provider says'}",
    )
    today = ", today" if explanation.today else ""
    yield (
        "day",
        f"{explanation.as_of}{today}, in {explanation.time_zone}; ends at"
        f" {explanation.day_ends_at}",
    )


def _describe_balance(explanation: Explanation) -> Iterator[_Line]:
    part = explanation.balance
    if part.answer is None:
        yield "BALANCE", _describe_problem(part)
    else:
        answer = part.answer
        figures = (
            ("bank", answer.bank, answer.bank_missing),
            ("ledger", answer.ledger, answer.ledger_missing),
            ("difference", answer.difference, answer.difference_missing),
        )
        shown = [f"{name} {money.amount if money else why}" for name, money, why in figures]
        yield "BALANCE", f"{', '.join(shown)} {explanation.currency}"
        yield "age", _describe_age(answer.freshness)
    yield from _describe_evidence(part)


def _describe_opening(explanation: Explanation) -> Iterator[_Line]:
    part = explanation.opening_balance
    if part.answer is not None:
        amount = part.answer.amount
        at = part.answer.effective_at
        since = f" at {at}" if at else ", instant not known"
        yield "OPENING", f"{amount.amount} {amount.currency}{since}, {_describe_source(part)}"
        yield "age", _describe_age(part.answer.freshness)
    else:
        yield "OPENING", "none is set" if part.problem is None else _describe_problem(part)
    yield from _describe_evidence(part)


def _describe_source(part: OpeningPart) -> str:
    assert part.answer is not None
    source, evidence = part.answer.source, part.evidence
    if evidence.derived_from_day is not None:
        return f"{source} from the balance of {evidence.derived_from_day}"
    if evidence.recorded_at is not None:
        write = evidence.recorded_write_id or "of another company"
        return f"{source} at {evidence.recorded_at}, write {write}"
    return source


def _describe_problem(part: BalancePart | OpeningPart) -> str:
    return f"{part.problem.code}: {part.problem.message}" if part.problem else "no reason is known"


def _describe_age(age: Age) -> str:
    text = f"{age.state}, observed at {to_seconds(age.observed_at)}, {age.age_seconds} s ago"
    if age.stale_reason:
        text += f"; stale: {age.stale_reason}"
    if age.sourced_at:
        text += f"; the provider's last sync {to_seconds(age.sourced_at)}"
    return text


def _describe_evidence(part: BalancePart | OpeningPart) -> Iterator[_Line]:
    evidence = part.evidence
    yield "kept", _describe_kept(evidence.kept)
    for call in evidence.calls:
        yield "asked", _describe_call(call)
    if evidence.bound is not None:
        bound = evidence.bound
        included = "included" if bound.inclusive else "excluded"
        days = "" if bound.instant else ", a day by the source's own rules"
        yield "bound", f"{bound.parameter} {bound.sent}, itself {included}{days}"
    for figure in evidence.figures:
        fields = ", ".join(f"{field.name} {field.text or 'null'}" for field in figure.fields)
        unit = _UNITS.get(figure.unit, figure.unit)
        yield _TITLES.get(figure.figure, figure.figure), f"{fields} ({unit}): {figure.rule}"
    if part.read_problem is not None:
        yield "not read", f"{part.read_problem.code}: {part.read_problem.message}"
    if evidence.difference is not None:
        yield "differs", evidence.difference


def _describe_kept(kept: Kept | None) -> str:
    if kept is None:
        return "no value"
    return (
        f"observed at {to_seconds(kept.observed_at)}, fresh until {to_seconds(kept.fresh_until)},"
        f" at most until {to_seconds(kept.stale_until)}"
    )


def _describe_call(call: Call) -> str:
    parameters = "".join(f" {each.name}={each.value}" for each in call.parameters)
    method = f"{call.method} " if call.method else ""
    return f"{method}{call.endpoint}{parameters} at {to_seconds(call.at)}"


def _describe_doubts(explanation: Explanation) -> Iterator[_Line]:
    write = explanation.unsettled_write
    shown = "none"
    if write is not None:
        amount = "of another company" if write.amount is None else write.amount.amount
        shown = f"{amount} since {write.at}"
        shown += f", write {write.write_id}" if write.write_id else ""
    others = ", ".join(f"{each.account_id} ({each.kind})" for each in explanation.overlaps)
    yield "DOUBTS", f"unsettled write: {shown}; accounts with the same money: {others or 'none'}"

"""``balance-gateway opening-balances set``: set the opening balance of an account."""

import re
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import find_day_start, format_utc, parse_instant
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import OPENING_BALANCE, Model, OpeningBalance, find_amount
from balance_gateway.cli.remote.output import Column, Output, Row, output_options
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError, UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


class Outcome(Model, frozen=True):
    """The outcome of a write; what is unset is not part of this outcome."""

    typename: str = msgspec.field(name="__typename")
    account_id: str
    write_id: str | None
    message: str
    opening_balance: OpeningBalance | msgspec.UnsetType = msgspec.UNSET
    previous: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET
    verified: bool | msgspec.UnsetType = msgspec.UNSET
    replayed: bool | msgspec.UnsetType = msgspec.UNSET
    found: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    retryable: bool | msgspec.UnsetType = msgspec.UNSET
    retry_after_seconds: int | msgspec.UnsetType | None = msgspec.UNSET
    field: str | msgspec.UnsetType | None = msgspec.UNSET
    current: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def name(self) -> str:
        """The outcome in one word, such as Applied."""
        return self.typename.removeprefix("OpeningBalance")


OUTCOME = (
    "{ __typename ... on WriteOutcome { accountId writeId message }"
    f" ... on OpeningBalanceApplied {{ openingBalance {OPENING_BALANCE}"
    f" previous {OPENING_BALANCE} verified replayed }}"
    f" ... on OpeningBalanceUncertain {{ found {OPENING_BALANCE} }}"
    " ... on OpeningBalanceRejected { code retryable retryAfterSeconds field"
    f" current {OPENING_BALANCE} }} }}"
)


def _get_text(name: str) -> Any:
    def get(outcome: Outcome) -> str | None:
        value = getattr(outcome, name)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return None if value is None or value is msgspec.UNSET else str(value)

    return get


def _get_opening(name: str) -> Any:
    def get(outcome: Outcome) -> str | None:
        value = getattr(outcome, name)
        if not isinstance(value, OpeningBalance):
            return None
        since = f" at {value.effective_at}" if value.effective_at else ""
        return f"{find_amount(value.amount)} {value.amount.currency}{since}"

    return get


_OUTCOME_COLUMNS = (
    Column[Outcome]("outcome", lambda outcome: outcome.name),
    Column[Outcome]("account", lambda outcome: outcome.account_id),
    *(
        Column[Outcome](name, _get_opening(name))
        for name in ("opening_balance", "previous", "found", "current")
    ),
    *(
        Column[Outcome](name, _get_text(name))
        for name in ("verified", "replayed", "code", "field", "retry_after_seconds", "write_id")
    ),
    Column[Outcome]("message", lambda outcome: outcome.message),
)


@click.command(
    "set",
    epilog=example(
        "opening-balances set layer-operating-checking --amount 1480300.25 --currency USD \\",
        "    --effective-at 2026-01-01 --expect-none",
    ),
)
@click.argument("account_id", metavar="ID")
@click.option(
    "--amount", required=True, help="The amount as decimal text; negative is money that is owed."
)
@click.option("--currency", required=True, help="The currency of the account, such as EUR.")
@click.option(
    "--effective-at",
    help="A day, which means its start in the account's time zone, or an instant with an offset.",
)
@click.option("--expect-previous", metavar="AMOUNT", help="Write only if this amount is set now.")
@click.option("--expect-none", is_flag=True, help="Write only if no opening balance is set now.")
@click.option(
    "--idempotency-key",
    help="Repeating the command with the same key returns the first outcome; by default a new key"
    " is made and printed.",
)
@click.option("--memo", help="A note, where the provider stores one.")
@click.option("--reference", help="A reference number, where the provider stores one.")
@output_options
@connection_options
def set_(
    client: "GatewayClient",
    output: Output,
    account_id: str,
    amount: str,
    currency: str,
    effective_at: str | None,
    expect_previous: str | None,
    expect_none: bool,
    idempotency_key: str | None,
    memo: str | None,
    reference: str | None,
) -> None:
    """Set the opening balance of an account.

    The outcome is Applied, Rejected (certainly not done) or Uncertain; the exit code is 0 for
    Applied only.
    """
    currency = currency.upper()
    values: dict[str, Any] = {
        "accountId": account_id,
        "amount": _build_money("--amount", amount, currency),
        "effectiveAt": _find_instant(client, account_id, effective_at),
        "memo": memo,
        "referenceNumber": reference,
    }
    if expect_none and expect_previous is not None:
        raise UsageError("--expect-none and --expect-previous exclude each other.")
    if expect_none:
        values["expectedPrevious"] = {"amount": None}
    elif expect_previous is not None:
        expected = _build_money("--expect-previous", expect_previous, currency)
        values["expectedPrevious"] = {"amount": expected}
    if idempotency_key is None:
        idempotency_key = f"command-{secrets.token_hex(12)}"
        # Printed before anything is sent: it finds the outcome even if this process is killed.
        click.echo(f"Idempotency key: {idempotency_key}", err=True)
    values["idempotencyKey"] = idempotency_key
    outcome = _send(client, {key: value for key, value in values.items() if value is not None})
    document = {"idempotencyKey": idempotency_key, **Row(outcome).to_json()}
    output.print_record(_OUTCOME_COLUMNS, Row(outcome), document)
    if outcome.name != "Applied":
        raise CommandError(_describe(outcome))


def _send(client: "GatewayClient", values: dict[str, Any]) -> Outcome:
    from balance_gateway.cli.remote.failures import RequestFailed

    document = (
        "mutation ($input: UpsertOpeningBalanceInput!)"
        f" {{ upsertOpeningBalance(input: $input) {OUTCOME} }}"
    )
    key = values["idempotencyKey"]
    try:
        outcome: Outcome = client.write(document, input=values).take(
            "upsertOpeningBalance", Outcome
        )
    except CommandError as failed:
        if isinstance(failed, RequestFailed) and not failed.is_executed_maybe:
            done = "" if "Nothing was written" in failed.message else " Nothing was written."
            raise CommandError(f"{failed.message}{done}") from None
        raise CommandError(
            f"{failed.message} The write may have been applied. The same command with"
            f" --idempotency-key {escape(key)} returns its outcome, and writes nothing twice."
        ) from None
    except KeyboardInterrupt:
        raise CommandError(
            "Interrupted. The write may have been applied. The same command with"
            f" --idempotency-key {escape(key)} returns its outcome, and writes nothing twice."
        ) from None
    return outcome


def _describe(outcome: Outcome) -> str:
    if outcome.name == "Uncertain":
        return (
            "The write may or may not have been applied. Look at the provider, and settle it with"
            f" 'balance-gateway writes settle {escape(outcome.write_id or '')}'."
        )
    return f"The opening balance was not set: {escape(str(outcome.code))}."


def _build_money(option: str, amount: str, currency: str) -> dict[str, str]:
    if not _AMOUNT.fullmatch(amount):
        raise UsageError(
            f"{option} must be a decimal number such as 1250.00 or -500: a point for decimals,"
            " no separators, no currency sign."
        )
    return {"amount": amount, "currency": currency}


class _Zone(Model, frozen=True):
    time_zone: str


def _find_instant(client: "GatewayClient", account_id: str, text: str | None) -> str | None:
    if text is None:
        return None
    found = parse_instant("--effective-at", text)
    if isinstance(found, datetime):
        return format_utc(found)
    document = "query ($id: ID!) { bankAccount(id: $id) { timeZone } }"
    zone: _Zone = client.read(document, id=account_id).take("bankAccount", _Zone)
    return find_day_start("--effective-at", found, zone.time_zone)

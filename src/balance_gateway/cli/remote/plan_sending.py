"""Sends the rows of a plan to the gateway in parts; a repeated part changes nothing."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from balance_gateway.cli.remote.failures import describe_error
from balance_gateway.cli.remote.models import Model
from balance_gateway.cli.remote.opening_balance_file.rows import PlanAccount, SentRow
from balance_gateway.cli.remote.plans import PLAN_RESULT, Plan, PlanRefused, require_plan
from balance_gateway.cli.remote.progress import show_progress
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError
from balance_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

#: The limits of a request: rows of a part, bytes of their JSON, ids of a list.
_PART_ROWS = 2000
_PART_BYTES = 600_000
_IDS = 1000


class _Account(Model, frozen=True):
    id: str
    currency: str
    time_zone: str


def read_plan_accounts(
    client: "GatewayClient", account_ids: Sequence[str]
) -> Mapping[str, PlanAccount]:
    """Return currency and time zone of the accounts that there are, by id.

    Raises:
        CommandError: they cannot be read.
    """
    document = (
        "query ($ids: [ID!]!) { nodes(ids: $ids)"
        " { __typename ... on BankAccount { id currency timeZone } } }"
    )
    known: dict[str, PlanAccount] = {}
    with show_progress("accounts") as update:
        for start in range(0, len(account_ids), _IDS):
            part = list(account_ids[start : start + _IDS])
            answer = client.read(document, ids=part)
            for _, error in answer.errors:
                if error.code != ErrorCode.ACCOUNT_NOT_FOUND:
                    raise CommandError(describe_error(error.code, error.message))
            nodes: list[dict[str, Any] | None] = answer.take("nodes", list[dict[str, Any] | None])
            for node in nodes:
                # Connectors are nodes too.
                if node is not None and node.get("__typename") == "BankAccount":
                    account: _Account = answer.convert(node, _Account)
                    known[account.id] = PlanAccount(account.currency, account.time_zone)
            update(start + len(part), len(account_ids))
    return known


def send_rows(client: "GatewayClient", rows: Sequence[SentRow], *, needs_approval: bool) -> Plan:
    """Make a plan of rows, and return it; its id is printed as soon as there is one.

    Raises:
        CommandError: a part was refused, or not sent; nothing is set by a plan that is not applied.
    """
    document = (
        "mutation ($input: PlanOpeningBalancesInput!)"
        f" {{ planOpeningBalances(input: $input) {PLAN_RESULT} }}"
    )
    sent: dict[str, Any] = {
        "needsApproval": needs_approval,
        # A part that is sent again makes no second plan.
        "idempotencyKey": f"import-{secrets.token_hex(12)}",
    }
    plan: Plan | None = None
    done = 0
    with show_progress("rows") as update:
        for number, part in enumerate(_split(rows), 1):
            done += len(part)
            values = {**sent, "rows": part, "part": number, "complete": done == len(rows)}
            try:
                answer = client.write_repeatable(document, input=values)
                result = answer.take("planOpeningBalances", Plan | PlanRefused)
                made = require_plan(result)
            except (CommandError, KeyboardInterrupt) as failed:
                reason = failed.message if isinstance(failed, CommandError) else "Interrupted."
                raise CommandError(
                    f"{reason} The plan is not complete and cannot be applied; nothing was set."
                ) from None
            if plan is None:
                # Printed at once: it finds the plan even if this process is killed.
                click.echo(f"Plan: {escape(made.id)}", err=True)
                sent = {"planId": made.id}
            plan = made
            update(done, len(rows))
    assert plan is not None
    return plan


def _split(rows: Sequence[SentRow]) -> Iterator[list[SentRow]]:
    part: list[SentRow] = []
    size = 0
    for row in rows:
        row_size = len(json.dumps(row, ensure_ascii=False).encode()) + 2
        if part and (len(part) == _PART_ROWS or size + row_size > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row_size
    if part:
        yield part

"""Reads plans of opening balances, and waits for the gateway to work on them."""

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from balance_gateway.cli.remote.models import DecimalText, Model, PageInfo
from balance_gateway.cli.remote.output import FieldError, Row
from balance_gateway.cli.remote.paging import read_pages
from balance_gateway.cli.remote.progress import show_progress
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError
from balance_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_ROWS_OF_PAGE = 1000
#: The pauses between two looks at a plan grow from the first to the last.
_PAUSE_S = 0.1
_PAUSE_MAX_S = 2.0
#: Outcomes that leave nothing to do.
_DONE = frozenset({"APPLIED", "UNCHANGED"})


class Amount(Model, frozen=True):
    """An amount."""

    amount: DecimalText
    currency: str


class Previous(Model, frozen=True):
    """The opening balance that was set when a plan was made."""

    amount: Amount
    effective_at: str | None
    source: str


class PlanTotal(Model, frozen=True):
    """The sums of one currency."""

    currency: str
    rows: int
    unknown: int
    previous: Amount | None
    planned: Amount
    change: Amount | None


class PlanConnector(Model, frozen=True):
    """The rows of one connector, and what it cannot do."""

    name: str
    rows: int
    missing: list[str]


class Approval(Model, frozen=True):
    """The approval of a plan."""

    principal: str
    at: str
    content_hash: str


class Counts(Model, frozen=True):
    """The number of rows by outcome."""

    pending: int
    invalid: int
    applied: int
    unchanged: int
    rejected: int
    uncertain: int


class Plan(Model, frozen=True, tag_field="__typename", tag="OpeningBalancePlan"):
    """A plan, without its rows."""

    id: str
    state: str
    needs_approval: bool
    made_by: str
    made_at: str
    expires_at: str
    row_count: int
    content_hash: str | None
    unchanged: int | None
    unknown: int | None
    totals: list[PlanTotal] | None
    connectors: list[PlanConnector] | None
    approval: Approval | None
    applied_by: str | None
    applied_at: str | None
    finished_at: str | None
    counts: Counts


class PlanRefused(Model, frozen=True, tag_field="__typename", tag="OpeningBalancePlanRejected"):
    """A request about a plan that was refused."""

    code: str
    message: str
    field: str | None


class PlanRow(Model, frozen=True):
    """A row of a plan."""

    line: int
    account_id: str
    amount: Amount | None
    effective_at: str | None
    memo: str | None
    reference_number: str | None
    previous_state: str | None
    previous: Previous | None
    unchanged: bool
    outcome: str
    write_id: str | None
    code: str | None
    message: str | None
    field: str | None


_MONEY = "{ amount currency }"
_PLAN = (
    "{ __typename id state needsApproval madeBy madeAt expiresAt rowCount contentHash unchanged"
    f" unknown totals {{ currency rows unknown previous {_MONEY} planned {_MONEY}"
    f" change {_MONEY} }} connectors {{ name rows missing }}"
    " approval { principal at contentHash } appliedBy appliedAt finishedAt"
    " counts { pending invalid applied unchanged rejected uncertain } }"
)
PLAN_RESULT = (
    f"{{ __typename ... on OpeningBalancePlan {_PLAN}"
    " ... on OpeningBalancePlanRejected { code message field } }"
)
_ROW = (
    f"{{ line accountId amount {_MONEY} effectiveAt memo referenceNumber previousState"
    f" previous {{ amount {_MONEY} effectiveAt source }} unchanged outcome writeId code message"
    " field }"
)


class _RowPage(Model, frozen=True):
    nodes: list[PlanRow]
    page_info: PageInfo


class _PlanRows(Model, frozen=True):
    rows: _RowPage


def require_plan(result: Plan | PlanRefused) -> Plan:
    """Return the plan of a result.

    Raises:
        CommandError: the request was refused.
    """
    from balance_gateway.cli.remote.failures import describe_error

    if isinstance(result, Plan):
        return result
    if result.code == ErrorCode.FORBIDDEN and "scope" not in result.message:
        # Another key with the scope would be refused as well.
        raise CommandError(escape(f"{result.code}: {result.message}"))
    raise CommandError(describe_error(result.code, result.message))


def read_plan(client: "GatewayClient", plan_id: str) -> Plan:
    """Read a plan.

    Raises:
        CommandError: there is none with the id.
    """
    document = f"query ($id: ID!) {{ openingBalancePlan(id: $id) {_PLAN} }}"
    plan: Plan | None = client.read(document, id=plan_id).take("openingBalancePlan", Plan | None)
    if plan is None:
        raise CommandError(
            f"There is no plan {escape(plan_id)}. 'balance-gateway opening-balances import' prints"
            " the id of each plan that it makes."
        )
    return plan


def send_to_plan(client: "GatewayClient", mutation: str, plan_id: str, **variables: Any) -> Plan:
    """Approve or apply a plan, and return it.

    Args:
        client: the gateway.
        mutation: ``approvePlan`` or ``applyPlan``.
        plan_id: the plan.
        variables: ``contentHash`` of an approval.

    Raises:
        CommandError: the request was refused.
    """
    if "contentHash" in variables:
        declared, arguments = "$id: ID!, $contentHash: String", "id: $id, contentHash: $contentHash"
    else:
        declared, arguments = "$id: ID!", "id: $id"
    document = f"mutation ({declared}) {{ {mutation}({arguments}) {PLAN_RESULT} }}"
    answer = client.write_repeatable(document, id=plan_id, **variables)
    return require_plan(answer.take(mutation, Plan | PlanRefused))


def read_rows(client: "GatewayClient", plan_id: str) -> Iterator[Row[PlanRow]]:
    """Yield the rows of a plan, sorted by line; a row that is not as planned has an error."""
    document = (
        "query ($id: ID!, $first: Int, $after: String) { openingBalancePlan(id: $id)"
        f" {{ rows(first: $first, after: $after) {{ nodes {_ROW}"
        " pageInfo { hasNextPage endCursor } } } }"
    )

    def read_page(first: int, after: str | None) -> tuple[list[Row[PlanRow]], PageInfo, None]:
        answer = client.read(document, id=plan_id, first=first, after=after)
        page: _RowPage = answer.take("openingBalancePlan", _PlanRows).rows
        return [Row(row, _find_errors(row)) for row in page.nodes], page.page_info, None

    return read_pages(read_page, _ROWS_OF_PAGE, None, "rows")


def _find_errors(row: PlanRow) -> list[FieldError]:
    if row.outcome in _DONE or (row.outcome == "PENDING" and row.code is None):
        return []
    # A write that a killed gateway left has no code.
    code, message = row.code or row.outcome, row.message or "No reason is known."
    return [FieldError(row.field or "", code, message)]


def wait_while(client: "GatewayClient", plan: Plan, states: Collection[str], noun: str) -> Plan:
    """Wait until a plan is in none of the states, and return it.

    A gateway that is gone for a moment is waited for as long as for a response.

    Args:
        client: the gateway.
        plan: the plan as it was last seen.
        states: the states in which the gateway works on it.
        noun: what is shown as progress.

    Raises:
        CommandError: the gateway is gone, or the wait was interrupted; it goes on alone.
    """
    pause_s = _PAUSE_S
    try:
        with show_progress(noun) as update:
            while plan.state in states:
                update(plan.row_count - plan.counts.pending, plan.row_count)
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _PAUSE_MAX_S)
                plan = _read_patiently(client, plan.id)
    except (CommandError, KeyboardInterrupt) as ended:
        reason = ended.message if isinstance(ended, CommandError) else "Interrupted."
        raise CommandError(
            f"{reason} The gateway goes on with plan {escape(plan.id)} without this command:"
            f" 'balance-gateway opening-balances plan show {escape(plan.id)}' shows it."
        ) from None
    return plan


def _read_patiently(client: "GatewayClient", plan_id: str) -> Plan:
    from balance_gateway.cli.remote.failures import RequestFailed

    until_s = time.monotonic() + client.connection.timeout_s
    while True:
        try:
            return read_plan(client, plan_id)
        except RequestFailed as failed:
            if not failed.can_repeat or time.monotonic() > until_s:
                raise
        time.sleep(_PAUSE_MAX_S)

"""The explanation of a balance and of an opening balance in GraphQL. Needs the scope audit:read."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from enum import Enum
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.schema.bank_account import (
    BalanceSide,
    OpeningBalance,
    build_opening_balance,
)
from balance_gateway.api.schema.connectors import (
    Connector,
    ProviderKind,
    build_connector,
    to_graphql_provider,
)
from balance_gateway.api.schema.error_codes import to_graphql_code
from balance_gateway.api.schema.figure_evidence import FigureEvidence, build_figure_evidence
from balance_gateway.api.schema.history import BalanceProblem, require_usable_day
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.api.schema.money import Balance, build_balance
from balance_gateway.api.schema.scalars import CurrencyCode, unset_to_none
from balance_gateway.api.schema.unsettled_write import UnsettledWrite, build_unsettled_write
from balance_gateway.domain import balances as domain
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import ACCOUNT_ID, Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import BadInput, GatewayError
from balance_gateway.domain.money import Money, decimal_text
from balance_gateway.ports import explanations
from balance_gateway.ports.explanations import Explained
from balance_gateway.ports.reads import Observed


@strawberry.enum(description="How another account reaches money of the explained one.")
class OverlapKind(Enum):
    """How another account reaches the same money."""

    SAME = strawberry.enum_value(
        explanations.OverlapKind.SAME, description="It is the same account at the provider."
    )
    INCLUDES = strawberry.enum_value(
        explanations.OverlapKind.INCLUDES,
        description="Its balance includes the explained account's.",
    )
    INCLUDED = strawberry.enum_value(
        explanations.OverlapKind.INCLUDED,
        description="Its balance is included in the explained account's.",
    )
    UNKNOWN = strawberry.enum_value(
        explanations.OverlapKind.UNKNOWN,
        description="It is in the same books, and what it includes could not be read.",
    )


@strawberry.type(description="Another account with money of the explained one.")
class AccountOverlap:
    """Another account with money of the explained one."""

    account_id: strawberry.ID = strawberry.field(description="The id of the other account.")
    kind: OverlapKind = strawberry.field(description="How it reaches the money.")


@strawberry.type(description="A balance and where it comes from.")
class ExplainedBalance:
    """A balance and where it comes from."""

    answer: Balance | None = strawberry.field(
        description="What BankAccount.balance returns now; null if it fails."
    )
    problem: BalanceProblem | None = strawberry.field(
        description="Why the answer is missing; null if it is there."
    )
    read: Balance | None = strawberry.field(
        description="The balance that was read for this explanation; null if that failed."
    )
    read_problem: BalanceProblem | None = strawberry.field(
        description="Why that read failed; null if it succeeded."
    )
    evidence: FigureEvidence = strawberry.field(description="Where the read balance comes from.")


@strawberry.type(description="An opening balance and where it comes from.")
class ExplainedOpeningBalance:
    """An opening balance and where it comes from."""

    answer: OpeningBalance | None = strawberry.field(
        description="What BankAccount.openingBalance returns now; null if it fails or none is set."
    )
    problem: BalanceProblem | None = strawberry.field(
        description="Why the answer is missing; null if it is there, or none is set."
    )
    read: OpeningBalance | None = strawberry.field(
        description="The opening balance that was read for this explanation; null if that failed "
        "or none is set."
    )
    read_problem: BalanceProblem | None = strawberry.field(
        description="Why that read failed; null if it succeeded."
    )
    evidence: FigureEvidence = strawberry.field(
        description="Where the read opening balance comes from."
    )


@strawberry.type(
    description="Why an account's balance and opening balance are what they are: source, raw "
    "figures, sign, bound, age, and what makes them doubtful."
)
class BalanceExplanation:
    """The explanation of an account's balance and opening balance."""

    account_id: strawberry.ID = strawberry.field(description="The id of the account.")
    account_name: str = strawberry.field(description="The name of the account.")
    currency: CurrencyCode = strawberry.field(description="The currency of the account.")
    provider: ProviderKind = strawberry.field(description="The provider of the account.")
    connector: Connector = strawberry.field(description="The connector that reads the account.")
    configured_side: BalanceSide | None = strawberry.field(
        description="The configured normal side; null if the provider's is used."
    )
    time_zone: str = strawberry.field(
        description="The account's time zone, in which its days begin and end."
    )
    as_of: date = strawberry.field(description="The explained day.")
    today: bool = strawberry.field(
        description="Whether that is the current day in the account's time zone."
    )
    day_ends_at: datetime = strawberry.field(
        description="The first instant after the day in the account's time zone."
    )
    balance: ExplainedBalance = strawberry.field(description="The balance at the end of the day.")
    opening_balance: ExplainedOpeningBalance = strawberry.field(
        description="The opening balance, whatever the day."
    )
    unsettled_write: UnsettledWrite | None = strawberry.field(
        description="The newest write that the provider may or may not have applied; null without "
        "one."
    )
    overlaps: list[AccountOverlap] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="Your other accounts that reach the same money, sorted by id.",
    )


async def explain_balance(
    info: Info,
    account_id: Annotated[strawberry.ID, strawberry.argument(description="The id of the account.")],
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day, in the account's time zone. Default: today.",
        ),
    ] = strawberry.UNSET,
) -> BalanceExplanation | None:
    """Resolve the explanation of one account of the caller's tenant."""
    context = info.context
    context.principal.require(Scope.AUDIT_READ)
    if not ACCOUNT_ID.fullmatch(account_id):
        raise BadInput("accountId must be an account id.", field="accountId")
    day = require_usable_day(unset_to_none(as_of), "asOf")
    gateway = context.gateway
    account = gateway.directory.account(context.principal, account_id)
    request = context.balance_request(account, day)
    balance, opening, overlaps, unsettled = await asyncio.gather(
        gateway.explainer.explain_balance(request),
        gateway.explainer.explain_opening_balance(account),
        gateway.explainer.find_overlaps(request),
        gateway.reconciler.find_unsettled([account]),
    )
    return BalanceExplanation(
        account_id=strawberry.ID(account.id),
        account_name=account.name,
        currency=CurrencyCode(account.currency),
        provider=to_graphql_provider(account.provider),
        connector=build_connector(gateway.directory.connector(account.connector)),
        configured_side=None
        if account.normal_balance is None
        else BalanceSide(account.normal_balance),
        time_zone=account.time_zone.key,
        as_of=request.as_of,
        today=request.is_today,
        day_ends_at=day_end_exclusive(request.as_of, account.time_zone),
        balance=_build_explained_balance(balance, account, context.now),
        opening_balance=_build_explained_opening_balance(opening, context.now),
        unsettled_write=build_unsettled_write(unsettled.get(account.id)),
        overlaps=[
            AccountOverlap(account_id=strawberry.ID(one.account.id), kind=OverlapKind(one.kind))
            for one in overlaps
        ],
    )


def _build_explained_balance(
    explained: Explained[domain.BalanceFigures], account: Account, now: datetime
) -> ExplainedBalance:
    answer, read = explained.answer, explained.read
    difference = None
    if isinstance(answer, Observed) and isinstance(read, Observed):
        figures = (
            ("bank", answer.value.bank, read.value.bank),
            ("ledger", answer.value.ledger, read.value.ledger),
        )
        difference = _describe_difference(figures)
    return ExplainedBalance(
        answer=build_balance(answer, account, now) if isinstance(answer, Observed) else None,
        problem=_build_problem(answer),
        read=build_balance(read, account, now) if isinstance(read, Observed) else None,
        read_problem=_build_problem(read),
        evidence=build_figure_evidence(explained, difference),
    )


def _build_explained_opening_balance(
    explained: Explained[domain.OpeningBalance | None], now: datetime
) -> ExplainedOpeningBalance:
    answer, read = explained.answer, explained.read
    difference = None
    if isinstance(answer, Observed) and isinstance(read, Observed):
        amounts = (
            None if answer.value is None else answer.value.amount,
            None if read.value is None else read.value.amount,
        )
        difference = _describe_difference([("opening balance", *amounts)])
    return ExplainedOpeningBalance(
        answer=_build_opening(answer, now),
        problem=_build_problem(answer),
        read=_build_opening(read, now),
        read_problem=_build_problem(read),
        evidence=build_figure_evidence(explained, difference),
    )


def _build_opening(
    result: Observed[domain.OpeningBalance | None] | GatewayError, now: datetime
) -> OpeningBalance | None:
    if isinstance(result, GatewayError) or result.value is None:
        return None
    observed = Observed(result.value, result.observed_at, result.state, result.stale_reason)
    return build_opening_balance(observed, now)


def _build_problem(result: object) -> BalanceProblem | None:
    if not isinstance(result, GatewayError):
        return None
    return BalanceProblem(code=to_graphql_code(result.code), message=result.message)


def _describe_difference(
    figures: Sequence[tuple[str, Money | None, Money | None]],
) -> str | None:
    different = [
        f"{name} {_format(kept)} is returned, {_format(read)} was read now"
        for name, kept, read in figures
        if kept != read
    ]
    return "; ".join(different) or None


def _format(amount: Money | None) -> str:
    if amount is None:
        return "none"
    return f"{decimal_text(amount.minor_units, amount.exponent)} {amount.currency}"

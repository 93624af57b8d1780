"""``balance-gateway opening-balances plan show``, ``approve`` and ``apply``."""

from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.output import Output, output_options
from balance_gateway.cli.remote.plan_output import print_plan
from balance_gateway.cli.remote.plans import read_plan, send_to_plan, wait_while
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_PLAN_ID = "2c9f1f0e-5a53-4a0e-8e0c-6f5d5b1c7a11"


@click.group("plan", epilog=example(f"opening-balances plan show {_PLAN_ID}"))
def plan() -> None:
    """Show plans of opening balances."""


@plan.command("show", epilog=example(f"opening-balances plan show {_PLAN_ID}"))
@click.argument("plan_id", metavar="PLAN")
@output_options
@connection_options
def show(client: "GatewayClient", output: Output, plan_id: str) -> None:
    """Show a plan with its rows and their outcomes. Needs balances:write.

    The exit code is 1 if a row is invalid, rejected or uncertain, or cannot be sent.
    """
    print_plan(client, output, read_plan(client, plan_id))


@click.command("approve", epilog=example(f"opening-balances approve {_PLAN_ID}"))
@click.argument("plan_id", metavar="PLAN")
@output_options
@connection_options
def approve(client: "GatewayClient", output: Output, plan_id: str) -> None:
    """Approve a plan that another principal made, and show it. Needs balances:write.

    Look at it first with 'opening-balances plan show'; its content never changes after that.
    """
    seen = read_plan(client, plan_id)
    approved = send_to_plan(client, "approvePlan", plan_id, contentHash=seen.content_hash)
    print_plan(client, output, approved)


@click.command("apply", epilog=example(f"opening-balances apply {_PLAN_ID}"))
@click.argument("plan_id", metavar="PLAN")
@output_options
@connection_options
def apply(client: "GatewayClient", output: Output, plan_id: str) -> None:
    """Let the gateway apply a plan, and report each row. Needs balances:write.

    The gateway sends each row at most once, if the account still has what the plan shows. It goes
    on if this command is killed; run it again to wait for the report. The exit code is 0 if every
    row is applied or unchanged.
    """
    apply_plan(client, output, plan_id)


def apply_plan(client: "GatewayClient", output: Output, plan_id: str) -> None:
    """Apply a plan, wait for it and print it.

    Raises:
        CommandError: it cannot be applied, or a row is not applied.
    """
    from balance_gateway.cli.remote.failures import RequestFailed

    try:
        begun = send_to_plan(client, "applyPlan", plan_id)
    except RequestFailed as failed:
        if not failed.is_executed_maybe:
            raise
        raise CommandError(
            f"{failed.message} The gateway may have begun to apply the plan: the same command goes"
            f" on, and 'balance-gateway opening-balances plan show {escape(plan_id)}' shows it."
        ) from None
    print_plan(client, output, wait_while(client, begun, ("APPLYING",), "rows"))

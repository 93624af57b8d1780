"""``balance-gateway connectors``: health and call budget of a running gateway's connectors."""

from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import Model
from balance_gateway.cli.remote.output import Column, Output, Row, output_options, to_seconds

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient


class _Health(Model, frozen=True):
    state: str
    last_success_at: str | None
    last_failure_at: str | None
    last_failure_code: str | None


class _Budget(Model, frozen=True):
    requests_per_minute: int | None
    remaining: int | None


class _Connector(Model, frozen=True):
    name: str
    provider: str
    capabilities: list[str]
    health: _Health
    budget: _Budget


_CONNECTORS = (
    "{ connectors { name provider capabilities"
    " health { state lastSuccessAt lastFailureAt lastFailureCode }"
    " budget { requestsPerMinute remaining } } }"
)


def _format_count(count: int | None) -> str | None:
    return None if count is None else str(count)


_COLUMNS = (
    Column[_Connector]("name", lambda each: each.name),
    Column[_Connector]("provider", lambda each: each.provider.lower(), rank=2),
    Column[_Connector]("health", lambda each: each.health.state),
    Column[_Connector]("last_failure", lambda each: each.health.last_failure_code, rank=1),
    Column[_Connector](
        "last_failure_at",
        lambda each: each.health.last_failure_at,
        show=lambda each: to_seconds(each.health.last_failure_at),
        rank=5,
    ),
    Column[_Connector](
        "last_success_at",
        lambda each: each.health.last_success_at,
        show=lambda each: to_seconds(each.health.last_success_at),
        rank=6,
    ),
    Column[_Connector](
        "budget_left", lambda each: _format_count(each.budget.remaining), is_amount=True, rank=3
    ),
    Column[_Connector](
        "per_minute",
        lambda each: _format_count(each.budget.requests_per_minute),
        is_amount=True,
        rank=4,
    ),
    Column[_Connector]("capabilities", lambda each: " ".join(each.capabilities), in_table=False),
)


@click.command(epilog=example("connectors", "connectors --json"))
@output_options
@connection_options
def connectors(client: "GatewayClient", output: Output) -> None:
    """Show health and call budget of the connectors, as the answering process sees them."""
    found: list[_Connector] = client.read(_CONNECTORS).take("connectors", list[_Connector])
    output.print_rows(_COLUMNS, [Row(each) for each in found], "connectors")

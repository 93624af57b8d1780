"""``balance-gateway whoami``: the key in use, and the gateway that answers."""

from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import Model
from balance_gateway.cli.remote.output import Column, Output, Row, output_options

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient


class _Viewer(Model, frozen=True):
    name: str
    tenant: str
    scopes: list[str]
    expires_at: str | None


class _Gateway(Model, frozen=True):
    version: str
    environment: str | None


class _Session(Model, frozen=True):
    url: str
    viewer: _Viewer
    gateway: _Gateway


_COLUMNS = (
    Column[_Session]("url", lambda session: session.url),
    Column[_Session]("version", lambda session: session.gateway.version),
    Column[_Session]("environment", lambda session: session.gateway.environment),
    Column[_Session]("name", lambda session: session.viewer.name),
    Column[_Session]("tenant", lambda session: session.viewer.tenant),
    Column[_Session]("scopes", lambda session: " ".join(session.viewer.scopes)),
    Column[_Session]("expires_at", lambda session: session.viewer.expires_at),
)


@click.command(epilog=example("whoami", "whoami --profile production --json"))
@output_options
@connection_options
def whoami(client: "GatewayClient", output: Output) -> None:
    """Show the key in use with its scopes, and the gateway that answers."""
    answer = client.read(
        "{ viewer { name tenant scopes expiresAt } gateway { version environment } }"
    )
    session = _Session(
        client.connection.url,
        answer.take("viewer", _Viewer),
        answer.take("gateway", _Gateway),
    )
    output.print_record(_COLUMNS, Row(session))

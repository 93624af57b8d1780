"""The GraphQL types Viewer and Gateway: who asks, and which gateway answers."""

from datetime import datetime

import strawberry

from balance_gateway import __version__
from balance_gateway.api.request.context import Info


@strawberry.type(description="The credential of the request.")
class Viewer:
    """The credential of the request."""

    name: str = strawberry.field(
        description="The name of the API key, or the subject of the token; the audit log has it."
    )
    tenant: str = strawberry.field(
        description="The company that owns the accounts it gives access to."
    )
    scopes: list[str] = strawberry.field(
        description="Its scopes as in the configuration, such as balances:read, sorted; without "
        "scopes that the gateway does not know."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the token expires; null for an API key, which does not."
    )


@strawberry.type(description="The gateway that answers the request.")
class Gateway:
    """The gateway that answers the request."""

    version: str = strawberry.field(description="The release, such as 1.2.3.")
    environment: str | None = strawberry.field(
        description="The configured name of the environment, such as production; null if there is "
        "none."
    )


def resolve_viewer(info: Info) -> Viewer:
    """Return the credential of the request."""
    principal = info.context.principal
    info.context.dependencies.shows_principal = True
    return Viewer(
        name=principal.name,
        tenant=principal.tenant,
        scopes=sorted(scope.value for scope in principal.scopes),
        expires_at=principal.expires_at,
    )


def resolve_gateway(info: Info) -> Gateway:
    """Return the gateway's version and environment."""
    return Gateway(version=__version__, environment=info.context.environment or None)

"""Defines the settings that connectors of different providers have in common.

A provider defines the settings of its connectors as a subclass in its own package.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from balance_gateway.config.errors import InvalidSetting
from balance_gateway.config.value_types import CurrencyCode, HttpUrl
from balance_gateway.domain.secret import Secret


class ConnectorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of every connector."""

    timeout_s: Annotated[
        float,
        Meta(ge=0.05, le=1e9, description="Time limit of a whole call in seconds, token included."),
    ] = 10.0
    requests_per_minute: (
        Annotated[
            int,
            Meta(ge=1, le=10**6, description="Budget of calls; default: the documented limit."),
        ]
        | None
    ) = None
    max_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Maximum number of calls in flight per process.")
    ] = 32
    currency: (
        Annotated[CurrencyCode, Meta(description="Default currency of the connector's accounts.")]
        | None
    ) = None

    @property
    def address(self) -> str:
        """The address that calls go to; empty for a provider without one."""
        return ""


class HttpConnectorSettings(ConnectorSettings, frozen=True, kw_only=True):
    """The settings of every connector to a provider that is called over HTTP.

    Attributes:
        own_credentials: the keys of the provider's own kind of credentials, all of which are
            required unless ``access_token`` is set.
    """

    own_credentials: ClassVar[tuple[str, ...]]

    base_url: Annotated[
        HttpUrl, Meta(description="The provider's address; https, or http on loopback.")
    ]
    access_token: (
        Annotated[
            Secret, Meta(description="A token obtained elsewhere, instead of other credentials.")
        ]
        | None
    ) = None
    redirect_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Other hosts to which a redirect may take the credentials."),
    ] = ()
    transport: Annotated[
        Literal["pooled", "httpx"],
        Meta(description="The HTTP client: the gateway's own, or httpx's."),
    ] = "pooled"

    @property
    def address(self) -> str:
        """The address that calls go to."""
        return self.base_url

    def __post_init__(self) -> None:
        """Check that the credentials are complete and of one kind."""
        own = " and ".join(self.own_credentials)
        # The address of a token endpoint is no credential, and harmless beside a token.
        secrets = [key for key in self.own_credentials if isinstance(getattr(self, key), Secret)]
        if self.access_token is not None:
            if secrets:
                problem = f"must be set alone: set access_token or {own}, not both"
                raise InvalidSetting("access_token", problem)
            return
        for key in self.own_credentials:
            if getattr(self, key) is None:
                raise InvalidSetting(key, f"is missing: set {own}, or access_token")

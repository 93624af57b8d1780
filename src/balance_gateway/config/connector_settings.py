"""Defines the settings that connectors of different providers have in common.

A provider defines the settings of its connectors as a subclass in its own package.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from balance_gateway.config.errors import InvalidSetting
from balance_gateway.config.http_urls import HttpUrl, ProxyUrl
from balance_gateway.config.network import check_network
from balance_gateway.config.value_types import CurrencyCode, Text
from balance_gateway.domain.secret import Secret


class ConnectorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of every connector.

    Attributes:
        timeout_s: Time limit of a whole call in seconds, token and body included.
        requests_per_minute: Budget of calls; the provider's documented limit by default.
        max_concurrency: Maximum number of calls in flight per process.
        currency: Default currency of the connector's accounts.
        tenants: The companies that may have accounts at the connector; every company by default.
    """

    timeout_s: Annotated[float, Meta(ge=0.05, le=1e9)] = 10.0
    requests_per_minute: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    max_concurrency: Annotated[int, Meta(ge=1, le=1000)] = 64
    currency: CurrencyCode | None = None
    tenants: Annotated[tuple[Text, ...], Meta(min_length=1)] | None = None

    def allows_tenant(self, tenant: str) -> bool:
        """Return whether accounts of this company may use the connector."""
        return self.tenants is None or tenant in self.tenants

    @property
    def address(self) -> str:
        """The address that calls go to; empty for a provider without one."""
        return ""


#: The keys of an HTTP connector that say how connections are made, not what they reach.
NETWORK_KEYS = frozenset({"ca_file", "client_cert", "client_key", "proxy", "allow_plain_http"})


class HttpConnectorSettings(ConnectorSettings, frozen=True, kw_only=True):
    """The settings of every connector to a provider that is called over HTTP.

    Attributes:
        own_credentials: The keys of the provider's own kind of credentials, all of which are
            required unless ``access_token`` is set.
        base_url: The provider's address; https, or http on loopback or with ``allow_plain_http``.
        access_token: A token obtained elsewhere, instead of the provider's own credentials.
        redirect_hosts: Other hosts (``host`` or ``host:port``) to which a redirect may take the
            credentials.
        transport: The gateway's own HTTP client (pooled), or httpx, which a proxy requires and
            is used for.
        ca_file: A PEM file with certification authorities that are trusted besides the public ones.
        client_cert: A PEM file with the gateway's own certificate, and the certificates between it
            and the authority that issued it.
        client_key: A PEM file with the private key of ``client_cert``, if that file has none.
        proxy: The http or https URL of the proxy that connections are made through; by reference if
            it contains a password.
        allow_plain_http: Whether http may be used beyond loopback, such as to a sidecar.
    """

    own_credentials: ClassVar[tuple[str, ...]]

    base_url: HttpUrl
    access_token: Secret | None = None
    redirect_hosts: tuple[str, ...] = ()
    transport: Literal["pooled", "httpx"] = "pooled"
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: ProxyUrl | None = None
    allow_plain_http: bool = False

    @property
    def address(self) -> str:
        """The address that calls go to."""
        return self.base_url

    def __post_init__(self) -> None:
        """Check the network's settings, and that the credentials are complete and of one kind."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        check_network(self, **{k: url for k, url in values.items() if isinstance(url, HttpUrl)})
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

"""Writes the configuration of the gateway under test, and imports its embedded ledger."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import accounts

#: More calls than a benchmark makes in a minute, so that the rate limiter never delays a call.
REQUESTS_PER_MINUTE = 1_000_000

#: Concurrent calls to one provider: enough for all calls of a dashboard of fifty accounts.
MAX_CONCURRENCY = 64

#: No value expires, and no refresh falls due, during a measurement.
LIFETIME_S = 1_000_000

TENANT = "acme"


@dataclass(frozen=True, slots=True)
class Layout:
    """The accounts of the gateway, and where it stores its own data.

    Attributes:
        counts: accounts of each provider, each a connector of its name.
        other_tenant: the tenant of every local account but the first; None for the same tenant as
            the others.
        other_key: the bearer key of ``other_tenant``.
        storage_url: the database; None for a SQLite file beside ``gateway.toml``.
        scopes: of the keys.
    """

    counts: Mapping[accounts.Kind, int]
    other_tenant: str | None = None
    other_key: str = ""
    storage_url: str | None = None
    scopes: tuple[str, ...] = ("balances:read",)

    def get_tenant(self, kind: accounts.Kind, number: int) -> str:
        """Return the tenant of an account."""
        if kind == "local" and number and self.other_tenant is not None:
            return self.other_tenant
        return TENANT


DEFAULT_LAYOUT = Layout(
    {
        "light": accounts.LIGHT_COUNT,
        "asset": accounts.OTHERS_COUNT,
        "layer": accounts.OTHERS_COUNT,
        "local": accounts.LOCAL_COUNT,
    }
)


def write_configuration(
    directory: Path, key: str, upstream_url: str, cache_url: str, layout: Layout = DEFAULT_LAYOUT
) -> Path:
    """Write ``gateway.toml`` and its secrets.

    Args:
        directory: of the files.
        key: the bearer key of the load generator.
        upstream_url: the base URL of all providers.
        cache_url: the URL of the cache; empty for no cache.
        layout: the accounts.

    Returns:
        The path of ``gateway.toml``.
    """
    for name, secret in (("key", key), ("provider", "benchmark"), ("other", layout.other_key)):
        (directory / name).write_text(secret, encoding="utf-8")
    keys = {TENANT: "key"} | ({layout.other_tenant: "other"} if layout.other_tenant else {})
    storage_url = layout.storage_url or f"sqlite:///{directory / 'gateway.db'}"
    tables = [
        _format_table("[storage]", {"url": storage_url}),
        _format_table("[cache]", _build_cache(cache_url)),
        *(
            _format_table(
                "[[auth.api_keys]]",
                {"name": f"bench-{file}", "key": f"file:{file}", "tenant": tenant}
                | {"scopes": list(layout.scopes)},
            )
            for tenant, file in keys.items()
        ),
        *(_format_connector(kind, upstream_url) for kind in layout.counts),
        *(
            _format_account(kind, number, layout.get_tenant(kind, number))
            for kind, count in layout.counts.items()
            for number in range(count)
        ),
    ]
    path = directory / "gateway.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def _build_cache(url: str) -> dict[str, object]:
    if not url:
        return {"enabled": False}
    names = ("today_ttl_s", "past_ttl_s", "opening_balance_ttl_s", "stale_ttl_s")
    return {"url": url} | dict.fromkeys(names, LIFETIME_S)


def _format_table(header: str, values: dict[str, object]) -> str:
    lines = (f"{name} = {json.dumps(value)}" for name, value in values.items())
    return "\n".join([header, *lines, ""])


def _format_connector(kind: accounts.Kind, upstream_url: str) -> str:
    values: dict[str, object] = {"provider": kind}
    if kind != "local":
        secret = "api_key" if kind == "light" else "access_token"
        values |= {
            "base_url": upstream_url,
            secret: "file:provider",
            "requests_per_minute": REQUESTS_PER_MINUTE,
            "max_concurrency": MAX_CONCURRENCY,
        }
    return _format_table(f"[connectors.{kind}]", values)


def _format_account(kind: accounts.Kind, number: int, tenant: str) -> str:
    account_id = accounts.build_account_id(kind, number)
    remote = accounts.build_remote_id(kind, number)
    values: dict[str, object] = {
        "id": account_id,
        "tenant": tenant,
        "connector": kind,
        "name": f"Account {number}",
        "currency": accounts.get_currency(kind),
        "time_zone": "UTC",
    }
    if kind == "light":
        values |= {"bank_account_id": remote, "derive_opening_balance_as_of": accounts.BEFORE_ALL}
    elif kind == "asset":
        values |= {"business_id": accounts.BUSINESS, "ledger_id": remote}
    elif kind == "layer":
        values |= {"business_id": accounts.BUSINESS, "ledger_account_id": remote}
        values["external_account_id"] = remote
    return _format_table("[[accounts]]", values)


async def import_ledger(configuration: Path, count: int = accounts.LOCAL_COUNT) -> None:
    """Import the entries of all local accounts, as ``balance-gateway local import`` does."""
    from balance_gateway.app.configuration import read_settings
    from balance_gateway.app.ledger_import import import_ledger_entries

    settings = read_settings(configuration)
    for number in range(count):
        path = configuration.with_name("entries.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(_build_rows(number))
        await import_ledger_entries(settings, accounts.build_account_id("local", number), path)


def _build_rows(number: int) -> Iterator[list[str]]:
    yield ["id", "book", "date", "amount"]
    for month in range(1, accounts.LOCAL_ENTRIES + 1):
        for book, base in (("bank", 10_000), ("ledger", 20_000)):
            amount = base + number
            text = f"{amount // 100}.{amount % 100:02d}"
            yield [f"{book}-{month}", book, f"2026-{month:02d}-01", text]

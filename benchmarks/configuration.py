"""Writes the gateway's configuration for a workload, as a user with these accounts would."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import books

#: More than a benchmark makes in a minute: what is measured is not the waiting for a budget.
REQUESTS_PER_MINUTE = 1_000_000

#: Calls under way at one provider; a dashboard of fifty accounts goes out at once.
MAX_CONCURRENCY = 64

_KINDS: tuple[tuple[books.Kind, int], ...] = (
    ("light", books.LIGHT_COUNT),
    ("asset", books.OTHERS_COUNT),
    ("layer", books.OTHERS_COUNT),
    ("local", books.LOCAL_COUNT),
)


def write(directory: Path, key: str, upstream_url: str, cache_url: str) -> Path:
    """Writes ``gateway.toml`` and its secrets; no ``cache_url`` means no cache."""
    for name, secret in (("key", key), ("provider", "benchmark")):
        (directory / name).write_text(secret, encoding="utf-8")
    cache: dict[str, object] = {"url": cache_url} if cache_url else {"enabled": False}
    # Nothing expires while it is measured.
    cache |= {"past_ttl_s": 3600} if cache_url else {}
    tables = [
        _table("[storage]", {"url": f"sqlite:///{directory / 'gateway.db'}"}),
        _table("[cache]", cache),
        _table(
            "[[auth.api_keys]]",
            {"name": "bench", "key": "file:key", "tenant": "acme", "scopes": ["balances:read"]},
        ),
        *(_connector(kind, upstream_url) for kind, _ in _KINDS),
        *(_account(kind, number) for kind, count in _KINDS for number in range(count)),
    ]
    path = directory / "gateway.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def _table(header: str, values: dict[str, object]) -> str:
    lines = (f"{name} = {json.dumps(value)}" for name, value in values.items())
    return "\n".join([header, *lines, ""])


def _connector(kind: books.Kind, upstream_url: str) -> str:
    values: dict[str, object] = {"provider": kind}
    if kind != "local":
        secret = "api_key" if kind == "light" else "access_token"
        values |= {
            "base_url": upstream_url,
            secret: "file:provider",
            "requests_per_minute": REQUESTS_PER_MINUTE,
            "max_concurrency": MAX_CONCURRENCY,
        }
    return _table(f"[connectors.{kind}]", values)


def _account(kind: books.Kind, number: int) -> str:
    account_id = books.account_id(kind, number)
    remote = books.remote_id(kind, number)
    values: dict[str, object] = {
        "id": account_id,
        "tenant": "acme",
        "connector": kind,
        "name": f"Account {number}",
        "currency": books.currency(kind),
        "time_zone": "UTC",
    }
    if kind == "light":
        values |= {"bank_account_id": remote, "derive_opening_balance_as_of": books.BEFORE_ALL}
    elif kind == "asset":
        values |= {"business_id": books.BUSINESS, "ledger_id": remote}
    elif kind == "layer":
        values |= {"business_id": books.BUSINESS, "ledger_account_id": remote}
        values["external_account_id"] = remote
    return _table("[[accounts]]", values)


async def fill_embedded_ledger(configuration: Path) -> None:
    """Imports the entries of every local account, as ``balance-gateway local import`` does."""
    from balance_gateway.app import import_ledger_entries
    from balance_gateway.config.reader import read_settings

    settings = read_settings(configuration)
    for number in range(books.LOCAL_COUNT):
        path = configuration.with_name("entries.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(_entries(number))
        await import_ledger_entries(settings, books.account_id("local", number), path)


def _entries(number: int) -> Iterator[list[str]]:
    yield ["id", "book", "date", "amount"]
    for month in range(1, books.LOCAL_ENTRIES + 1):
        for book, base in (("bank", 10_000), ("ledger", 20_000)):
            amount = base + number
            text = f"{amount // 100}.{amount % 100:02d}"
            yield [f"{book}-{month}", book, f"2026-{month:02d}-01", text]

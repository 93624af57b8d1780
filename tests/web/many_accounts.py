"""Configurations with the accounts of the demo, and any number of the embedded ledger."""

from pathlib import Path

from balance_gateway.cli.demo_files import DemoFiles, write_demo_files
from balance_gateway.config.toml_text import format_table
from balance_gateway_sandbox import build_catalogue

#: Accounts of the demo's company, at Light, Asset, Layer and in the embedded ledger.
DEMO_COUNT = 156


def write_many_accounts(
    directory: Path, sandbox_url: str, count: int, *, storage_url: str = "", cache_url: str = ""
) -> DemoFiles:
    """Write a configuration for ``serve``.

    Args:
        directory: of the configuration and its secrets.
        sandbox_url: the base URL of a sandbox with the usual seed.
        count: how many accounts the company acme has, the demo's included.
        storage_url: the database; empty for a SQLite file in the directory.
        cache_url: of Redis; empty for the cache of the process.
    """
    files = write_demo_files(directory, build_catalogue(), sandbox_url)
    head, rest = files.config_path.read_text(encoding="utf-8").split("\n[[auth", 1)
    tables = [format_table("[storage]", {"url": storage_url}) if storage_url else head]
    if cache_url:
        tables.append(format_table("[cache]", {"url": cache_url}))
    tables.append(f"[[auth{rest}")
    tables += [_format_account(n) for n in range(count - DEMO_COUNT)]
    files.config_path.write_text("\n".join(tables), encoding="utf-8")
    return files


def _format_account(number: int) -> str:
    values = {
        "id": f"till-{number:05}",
        "tenant": "acme",
        "connector": "local",
        "name": f"Till {number}",
        "currency": ("EUR", "JPY", "KWD")[number % 3],
        "time_zone": "Europe/Copenhagen",
        "normal_balance": "debit",
    }
    return format_table("[[accounts]]", values)

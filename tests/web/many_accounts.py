"""Configurations with the accounts of the demo, and any number of the embedded ledger."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Response

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


def limit_light(files: DemoFiles, per_minute: int) -> None:
    """Set how often the gateway may call Light."""
    head = "[connectors.light-acme]\n"
    text = files.config_path.read_text(encoding="utf-8")
    assert head in text
    changed = text.replace(head, f"{head}requests_per_minute = {per_minute}\n")
    files.config_path.write_text(changed, encoding="utf-8")


def find_operation(response: Response) -> str:
    """Return the name of a query of the page, with its providers and whether it is a later page.

    Such as "Accounts LOCAL (later page)".
    """
    asked = parse_qs(urlsplit(response.url).query)
    [name] = re.findall(r"^query (\w+)", asked["query"][0])
    variables = json.loads(asked["variables"][0])
    own = " LOCAL" if variables.get("providers") == ["LOCAL"] else ""
    later = " (later page)" if variables.get("after") else ""
    return f"{name}{own}{later}"


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

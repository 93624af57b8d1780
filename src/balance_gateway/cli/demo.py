"""``balance-gateway demo``: sandbox and gateway over real HTTP on loopback, with demo accounts."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from balance_gateway.cli.usage import bind_listener, log_level_option


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True)
@click.option("--sandbox-port", type=click.IntRange(0, 65_535), default=8001, show_default=True)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where configuration, keys and data are kept; a temporary directory if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print URLs, keys and ids as one JSON line.")
@log_level_option("WARNING")
def demo(
    port: int, sandbox_port: int, data_dir: Path | None, as_json: bool, log_level: str
) -> None:
    """Start the provider sandbox and the gateway with demo accounts, until Ctrl-C."""
    from balance_gateway.observability.logs import configure_logs

    configure_logs(log_level)
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            directory = tempfile.TemporaryDirectory(prefix="balance-gateway-")
            data_dir = Path(stack.enter_context(directory))
        code = _run(port, sandbox_port, data_dir, as_json=as_json)
    raise SystemExit(code)


def _run(port: int, sandbox_port: int, data_dir: Path, *, as_json: bool) -> int:
    from balance_gateway.app import build_app
    from balance_gateway.cli.demo_files import prepare
    from balance_gateway.cli.usage import load_settings
    from balance_gateway.server.server import Service, serve_until_stopped
    from balance_gateway_sandbox import Options, create_sandbox

    listener = bind_listener("127.0.0.1", port)
    # The demo's Layer keeps an opening balance as it was stated, whatever its date.
    sandbox = create_sandbox(options=Options(layer_recalculate="as_stated"))
    sandbox_service = Service(sandbox, bind_listener("127.0.0.1", sandbox_port))
    files = prepare(data_dir, sandbox.catalogue, sandbox_service.url)
    settings = load_settings(files.config_path)
    gateway = Service(build_app(settings), listener)
    account_ids = [account.id for account in settings.accounts if account.tenant == "acme"]
    printed = {
        "graphql_url": f"{gateway.url}/graphql",
        "sandbox_url": sandbox_service.url,
        "read_key": files.read_key,
        "admin_key": files.admin_key,
        "account_ids": account_ids,
    }

    async def announce() -> None:
        await files.fill_embedded_ledger(settings)
        click.echo(json.dumps(printed) if as_json else _welcome(gateway.url, printed, data_dir))

    return serve_until_stopped([gateway, sandbox_service], announce)


#: One account at each provider, for the query that is printed.
_FIRST_ACCOUNTS = (
    "light-operating-eur",
    "asset-company-card",
    "layer-operating-checking",
    "local-petty-cash",
)


def _welcome(url: str, printed: Mapping[str, object], data_dir: Path) -> str:
    ids = json.dumps(_FIRST_ACCOUNTS)
    query = (
        "{ nodes(ids: " + ids.replace('"', '\\"') + ") { ... on BankAccount {"
        " name currency openingBalance { amount { amount } source }"
        " balance { asOf bank { amount } ledger { amount } freshness { state } } } } }"
    )
    return f"""
  Dashboard     {url}/
  GraphQL       {printed["graphql_url"]}
  Sandbox       {printed["sandbox_url"]}
  Read key      {printed["read_key"]}
  Admin key     {printed["admin_key"]}
  Files         {data_dir}

  A first query:

  curl -s {printed["graphql_url"]} \\
    -H 'Authorization: Bearer {printed["read_key"]}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"query": "{query}"}}'

  Ctrl-C stops both.
"""

"""``balance-gateway demo``: run the sandbox and a gateway with demo accounts on loopback."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from balance_gateway.cli.usage import bind_listener, log_level_option


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port of the gateway; 0 selects a free one.",
)
@click.option(
    "--sandbox-port",
    type=click.IntRange(0, 65_535),
    default=8001,
    show_default=True,
    help="Port of the sandbox; 0 selects a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of configuration, keys and data; by default a temporary one.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print URLs, keys and account ids as one line of JSON."
)
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
    from balance_gateway.app.asgi import build_app
    from balance_gateway.cli.demo_files import FileChanged, write_demo_files
    from balance_gateway.cli.usage import UsageError, load_settings
    from balance_gateway.server.server import Service, serve_until_stopped
    from balance_gateway_sandbox import Options, create_sandbox

    # Bound first, so that a port in use ends the command before any file is written.
    listener = bind_listener("127.0.0.1", port)
    # The demo's Layer returns an opening balance as it was set, whatever its date.
    sandbox = create_sandbox(options=Options(layer_recalculate="as_stated"))
    sandbox_service = Service(sandbox, bind_listener("127.0.0.1", sandbox_port, "--sandbox-port"))
    try:
        files = write_demo_files(data_dir, sandbox.catalogue, sandbox_service.url)
    except FileChanged as changed:
        raise UsageError(str(changed)) from None
    settings = load_settings(files.config_path)
    gateway = Service(build_app(settings), listener)
    account_ids = [account.id for account in settings.accounts if account.tenant == "acme"]
    connection = {
        "graphql_url": f"{gateway.url}/graphql",
        "sandbox_url": sandbox_service.url,
        "read_key": files.read_key,
        "admin_key": files.admin_key,
        "account_ids": account_ids,
    }

    async def announce() -> None:
        await files.fill_embedded_ledger(settings)
        click.echo(
            json.dumps(connection)
            if as_json
            else _format_welcome(gateway.url, connection, data_dir)
        )

    return serve_until_stopped([gateway, sandbox_service], announce)


#: One account at each provider, for the example query.
_FIRST_ACCOUNTS = (
    "light-operating-eur",
    "asset-company-card",
    "layer-operating-checking",
    "local-petty-cash",
)


def _format_welcome(url: str, connection: Mapping[str, object], data_dir: Path) -> str:
    ids = json.dumps(_FIRST_ACCOUNTS)
    query = (
        "{ nodes(ids: " + ids.replace('"', '\\"') + ") { ... on BankAccount {"
        " name currency openingBalance { amount { amount } source }"
        " balance { asOf bank { amount } ledger { amount } freshness { state } } } } }"
    )
    return f"""
  Dashboard     {url}/
  GraphQL       {connection["graphql_url"]}
  Sandbox       {connection["sandbox_url"]}
  Layer tokens  {connection["sandbox_url"]}/layer-auth/oauth2/token
  Read key      {connection["read_key"]}
  Admin key     {connection["admin_key"]}
  Files         {data_dir}

  Example query:

  curl -s {connection["graphql_url"]} \\
    -H 'Authorization: Bearer {connection["read_key"]}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"query": "{query}"}}'

  Press Ctrl-C to stop.
"""

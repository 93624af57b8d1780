"""``balance-gateway sandbox``: imitate Light, Asset and Layer over HTTP."""

import click

from balance_gateway.cli.usage import bind_listener


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8001,
    show_default=True,
    help="Port to listen on; 0 selects a free one.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the generated ids and amounts."
)
def sandbox(host: str, port: int, seed: int) -> None:
    """Serve the provider sandbox at /light, /asset and /layer until Ctrl-C."""
    from balance_gateway.observability.logs import configure_logs
    from balance_gateway.server.server import Service, serve_until_stopped
    from balance_gateway_sandbox import create_sandbox

    configure_logs()
    service = Service(create_sandbox(seed=seed), bind_listener(host, port))
    click.echo(f"Serving the sandbox at {service.url}/light, /asset and /layer", err=True)
    click.echo(f"Layer's token_url: {service.url}/layer-auth/oauth2/token", err=True)
    click.echo(f"Accounts and credentials: {service.url}/_control/catalogue", err=True)
    raise SystemExit(serve_until_stopped([service]))

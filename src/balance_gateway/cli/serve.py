"""``balance-gateway serve``: the gateway."""

from pathlib import Path

import click

from balance_gateway.cli.usage import Misused, config_option, settings_of


@click.command()
@config_option
@click.option("--host", help="Instead of server.host.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Instead of server.port.")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of server.workers.")
def serve(config_path: Path, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the gateway until Ctrl-C."""
    from balance_gateway.cli.server import Service, bind, serve_until_stopped
    from balance_gateway.cli.workers import Workers
    from balance_gateway.config.reader import refuse_contradictions
    from balance_gateway.config.table import ConfigError
    from balance_gateway.observability.logs import configure_logs

    settings = settings_of(config_path)
    server = settings.server
    count = workers or server.workers
    try:
        refuse_contradictions(settings, workers=count)
    except ConfigError as error:
        raise Misused(str(error)) from None
    configure_logs()
    listener = bind(host or server.host, server.port if port is None else port)
    if count > 1:
        click.echo(f"balance-gateway is serving with {count} workers", err=True)
        raise SystemExit(Workers(config_path, listener, count).serve())

    from balance_gateway.app import build_app

    service = Service(build_app(settings), listener)

    async def announce() -> None:
        click.echo(f"balance-gateway is serving {service.url}/graphql", err=True)

    raise SystemExit(serve_until_stopped([service], announce))

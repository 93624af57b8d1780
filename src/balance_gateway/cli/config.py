"""``balance-gateway config``: help with the configuration file."""

import json

import click


@click.group()
def config() -> None:
    """Help with the configuration file."""


@config.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from balance_gateway.app.configuration import build_config_schema

    click.echo(json.dumps(build_config_schema(), indent=2, ensure_ascii=False))

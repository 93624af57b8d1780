"""``balance-gateway schema``: print the GraphQL schema."""

import click


@click.command()
def schema() -> None:
    """Print the GraphQL schema in SDL."""
    from balance_gateway.api.schema.build import print_sdl

    click.echo(print_sdl(), nl=False)

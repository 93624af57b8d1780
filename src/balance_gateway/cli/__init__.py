"""The command line: nouns and verbs, ``--json`` on every read, exit codes 0 ok, 1 failed, 2 usage.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

import click

from balance_gateway import __version__
from balance_gateway.cli.check import check
from balance_gateway.cli.demo import demo
from balance_gateway.cli.local import local
from balance_gateway.cli.sandbox import sandbox
from balance_gateway.cli.schema import schema
from balance_gateway.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="balance-gateway")
def main() -> None:
    """One GraphQL API over every place where a company's bank and ledger balances live."""


for command in (demo, serve, sandbox, check, schema, local):
    main.add_command(command)

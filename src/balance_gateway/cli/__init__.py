"""Define the command line ``balance-gateway``.

Exit codes are 0 for success, 1 for a failure, 2 for wrong usage or configuration. Commands that
report results have ``--json``. Each command imports its dependencies when it runs, so that
``--help`` is fast.
"""

import click

from balance_gateway import __version__
from balance_gateway.cli.accounts import discover
from balance_gateway.cli.audit import audit
from balance_gateway.cli.backup import backup
from balance_gateway.cli.check import check
from balance_gateway.cli.completion import completion
from balance_gateway.cli.config import config
from balance_gateway.cli.demo import demo
from balance_gateway.cli.init import init
from balance_gateway.cli.keys import keys
from balance_gateway.cli.local import local
from balance_gateway.cli.migrate import migrate
from balance_gateway.cli.program import Program
from balance_gateway.cli.reload import reload
from balance_gateway.cli.remote.accounts import accounts
from balance_gateway.cli.remote.balances import balances
from balance_gateway.cli.remote.connectors import connectors
from balance_gateway.cli.remote.explain import explain
from balance_gateway.cli.remote.opening_balances import opening_balances
from balance_gateway.cli.remote.profile_commands import profiles
from balance_gateway.cli.remote.whoami import whoami
from balance_gateway.cli.remote.writes import writes
from balance_gateway.cli.restore import restore
from balance_gateway.cli.sandbox import sandbox
from balance_gateway.cli.schema import schema
from balance_gateway.cli.serve import serve


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="balance-gateway")
def main() -> None:
    """One GraphQL API over bank and ledger balance providers."""


_COMMANDS = (
    *(demo, serve, reload, sandbox, check, config, schema, local),
    *(migrate, backup, restore, audit),
    *(init, keys),
    # Against a running gateway.
    *(accounts, balances, opening_balances, writes, connectors, explain, whoami, profiles),
    completion,
)

accounts.add_command(discover)

for command in _COMMANDS:
    main.add_command(command)

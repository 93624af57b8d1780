"""Define the command line ``balance-gateway``.

Exit codes are 0 for success, 1 for a failure, 2 for wrong usage or configuration. Commands that
report results have ``--json``. A command's module is imported when the command is used, and imports
its dependencies when the command runs.
"""

import click

from balance_gateway import __version__
from balance_gateway.cli.program import Commands, Program

#: The module and the name of each command, below this package.
_COMMANDS = {
    "demo": "demo:demo",
    "serve": "serve:serve",
    "reload": "reload:reload",
    "sandbox": "sandbox:sandbox",
    "check": "check:check",
    "config": "config:config",
    "schema": "schema:schema",
    "local": "local:local",
    "migrate": "migrate:migrate",
    "backup": "backup:backup",
    "restore": "restore:restore",
    "audit": "audit:audit",
    "init": "init:init",
    "keys": "keys:keys",
    # Against a running gateway; ``accounts discover`` is not.
    "accounts": "accounts:accounts",
    "balances": "remote.balances:balances",
    "opening-balances": "remote.opening_balances:opening_balances",
    "writes": "remote.writes:writes",
    "connectors": "remote.connectors:connectors",
    "explain": "remote.explain:explain",
    "whoami": "remote.whoami:whoami",
    "profiles": "remote.profile_commands:profiles",
    "completion": "completion:completion",
}


@click.group(
    cls=Program,
    commands=Commands(__name__, _COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="balance-gateway")
def main() -> None:
    """One GraphQL API over bank and ledger balance providers."""

"""``balance-gateway completion``: the shell's completion of commands and options."""

import click
from click.shell_completion import get_completion_class

from balance_gateway.cli.remote.help import example
from balance_gateway.cli.usage import CommandError

PROGRAM = "balance-gateway"
#: The variable by which click knows that a shell asks for completions.
_VARIABLE = "_BALANCE_GATEWAY_COMPLETE"


@click.command(
    epilog=example('completion bash > ~/.balance-gateway-completion  # then "source" it')
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and profiles in a shell."""
    completer = get_completion_class(shell)
    assert completer is not None
    try:
        click.echo(completer(context.find_root().command, {}, PROGRAM, _VARIABLE).source())
    except (RuntimeError, OSError):
        raise CommandError(f"{shell} is not installed, or too old for completion.") from None

"""``balance-gateway keys``: make API keys."""

import json
import re
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, check_text, require_utf8


@click.group()
def keys() -> None:
    """Make API keys."""


@keys.command("new")
@click.argument("name")
@click.option("--tenant", required=True, help="The company that owns the accounts.")
@click.option("--scope", "scopes", multiple=True, help="A permission. Can be repeated.")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the key to this new file, with the mode 0600, instead of printing it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def new(name: str, tenant: str, scopes: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Make an API key, and print it once with its table for the configuration file.

    Nothing else is changed: add the table to the file, and reload the gateway.

    Example: balance-gateway keys new dashboard --tenant acme --scope balances:read
    """
    from balance_gateway.cli.api_keys import generate_api_key, write_new_secret
    from balance_gateway.config.toml_text import format_api_key

    check_text("NAME", name)
    check_text("--tenant", tenant)
    scopes = _check_scopes(scopes)
    key = generate_api_key()
    if file is None:
        reference = f"env:{_derive_variable(name)}"
    else:
        reference = f"file:{file.absolute()}"
        require_utf8("--file", reference)
        try:
            write_new_secret(file, key)
        except FileExistsError:
            raise UsageError(f"{file} exists: choose another --file, or move it away") from None
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from None
    toml = format_api_key(name, reference, tenant, scopes)
    if as_json:
        shown = {} if file is not None else {"key": key}
        result = {"name": name, "tenant": tenant, "scopes": scopes, "reference": reference}
        click.echo(json.dumps({**result, **shown, "toml": toml}, ensure_ascii=False))
    elif file is None:
        click.echo(f"# The key, shown only now:  {key}")
        click.echo(f"# Store it in the environment variable of the gateway that {reference} names.")
        click.echo(f"\n{toml}", nl=False)
    else:
        # After an empty line, so that an appended table is apart from the text before it.
        click.echo(f"\n{toml}", nl=False)
        click.echo(f"The key is in {file}.", err=True)


def _check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return each scope once, in order."""
    from balance_gateway.config.conversion import describe_choice
    from balance_gateway.domain.access import Scope

    known = [scope.value for scope in Scope]
    if not scopes:
        raise UsageError(f"--scope is missing: set one or more of {', '.join(sorted(known))}")
    for scope in scopes:
        if scope not in known:
            raise UsageError(f"--scope {describe_choice(scope, known)}")
    return tuple(dict.fromkeys(scopes))


def _derive_variable(name: str) -> str:
    """Return the name of the environment variable for a key, such as DASHBOARD_KEY."""
    text = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    text = text if text and not text[0].isdigit() else f"API_{text}".strip("_")
    return text if text.endswith("KEY") else f"{text}_KEY"

"""``balance-gateway init``: write a new configuration, its first key, and the storage."""

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, check_text, require_utf8

_DEFAULTS = {"tenant": "main", "cache": "memory://", "host": "127.0.0.1"}
_PORT = 8000


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the new configuration file; by default gateway.toml in DIRECTORY.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: use the options and the defaults.")
@click.option("--tenant", help="The company of the admin key.  [default: main]")
@click.option("--database", help="storage.url; by default an SQLite file beside the configuration.")
@click.option("--cache", help="cache.url.  [default: memory://]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on.  [default: 8000]")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="KIND[,KEY=VALUE]...",
    help="Also write a connector, such as light,base_url=URL. A secret that is not given as a"
    " reference is taken from its environment variable, such as LIGHT_API_KEY, or asked for, and"
    " stored in a file. Can be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def init(
    directory: Path | None,
    config_path: Path | None,
    yes: bool,
    tenant: str | None,
    database: str | None,
    cache: str | None,
    host: str | None,
    port: int | None,
    providers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a commented gateway.toml, create the storage, and make the first admin key.

    In a terminal it asks for what no option says. The key is printed once; the configuration
    refers to a file that only its owner can read, so that serve works at once. No existing file is
    replaced, and a failure leaves nothing behind.

    Example: balance-gateway init --yes --tenant acme
    """
    from balance_gateway.app.new_configuration import format_sqlite_url

    if directory is not None and config_path is not None:
        raise UsageError("DIRECTORY and --config are two ways to say the same: set one of them")
    path = (config_path or (directory or Path()) / "gateway.toml").absolute()
    if not path.name.isprintable():
        raise UsageError("--config must have a name of printable characters")
    require_utf8("DIRECTORY" if config_path is None else "--config", str(path))
    asks = sys.stdin.isatty() and not yes
    values = {"tenant": tenant, "database": database, "cache": cache, "host": host}
    defaults = {**_DEFAULTS, "database": format_sqlite_url(path.parent / "balance-gateway.db")}
    chosen = {key: _choose(key, values[key], defaults[key], asks=asks) for key in values}
    if port is None:
        port = click.prompt("port", _PORT, type=click.IntRange(0, 65_535)) if asks else _PORT
    if asks and not providers:
        providers = _ask_providers()
    check_text("--tenant", chosen["tenant"])
    require_utf8("--database", chosen["database"])
    connectors, secrets = _read_connectors(providers, asks=asks)
    result = _write(path, chosen, port, connectors, secrets)
    click.echo(json.dumps(result) if as_json else _format_result(result, chosen["host"], port))


def _choose(key: str, value: str | None, default: str, *, asks: bool) -> str:
    if value is not None:
        return value
    answer: str = click.prompt(key, default) if asks else default
    return answer


def _ask_providers() -> tuple[str, ...]:
    from balance_gateway.app.new_configuration import list_examples

    kinds = ", ".join(kind for kind, example in list_examples().items() if example)
    answer: str = click.prompt(
        f"providers, separated by spaces, of {kinds}", default="", show_default=False
    )
    return tuple(answer.replace(",", " ").split())


def _read_connectors(
    providers: tuple[str, ...], *, asks: bool
) -> tuple[dict[str, Mapping[str, str]], dict[str, str]]:
    """Return the settings of the connectors by provider, and the secrets to store by file name.

    Raises:
        UsageError: a provider is unknown or named twice, or a secret is missing.
    """
    from balance_gateway.app.new_configuration import list_examples
    from balance_gateway.config.conversion import describe_choice

    examples = list_examples()
    connectors: dict[str, Mapping[str, str]] = {}
    secrets: dict[str, str] = {}
    for provider in providers:
        kind, *pairs = provider.split(",")
        if kind not in examples:
            raise UsageError(f"--provider {describe_choice(kind, examples)}")
        if kind in connectors:
            raise UsageError(f"--provider {kind} is set twice: add the second connector by hand")
        if wrong := [pair for pair in pairs if "=" not in pair]:
            raise UsageError(
                f"--provider {kind} must have KEY=VALUE after a comma, not {wrong[0]!r}"
            )
        given = dict(pair.split("=", 1) for pair in pairs)
        settings = {**examples[kind], **given}
        # A token is instead of the provider's own credentials.
        if "access_token" in given:
            settings = {k: v for k, v in settings.items() if k in given or not _find_variable(v)}
        for key, value in settings.items():
            variable = None if key in given else _find_variable(value)
            if variable is not None:
                name = f"{kind}_{key}"
                secrets[name] = _read_secret(variable, kind, asks=asks)
                settings[key] = f"file:secrets/{name}"
        connectors[kind] = settings
    return connectors, secrets


def _find_variable(value: str) -> str | None:
    found = re.fullmatch(r"env:(\w+)", value)
    return None if found is None else found[1]


def _read_secret(variable: str, kind: str, *, asks: bool) -> str:
    found = os.environ.get(variable, "").strip()
    if not found and asks:
        found = click.prompt(variable, hide_input=True).strip()
    if not found:
        raise UsageError(
            f"--provider {kind} needs the environment variable {variable}: set it, or leave the"
            " provider out and add its connector later"
        )
    return found


def _write(
    path: Path,
    values: Mapping[str, str],
    port: int,
    connectors: Mapping[str, Mapping[str, str]],
    secrets: Mapping[str, str],
) -> Mapping[str, object]:
    from balance_gateway.cli.new_files import Exists
    from balance_gateway.cli.new_gateway import write_new_gateway
    from balance_gateway.config.errors import ConfigError
    from balance_gateway.domain.errors import GatewayError

    # As Ctrl-C: what was written is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return write_new_gateway(path, values, port, connectors, secrets)
    except (ConfigError, Exists) as error:
        raise UsageError(str(error)) from None
    except GatewayError as error:
        raise CommandError(error.message) from None
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise CommandError(f"{where} cannot be written: {error.strerror}") from None


def _format_result(result: Mapping[str, object], host: str, port: int) -> str:
    config = shlex.quote(str(result["config"]))
    key_file = shlex.quote(str(result["admin_key_file"]))
    address = f"[{host}]" if ":" in host else host
    database = result["database"] or "the configured database"
    return f"""\
Configuration  {result["config"]}
Storage        {database}, tables of version {result["version"]}
Admin key      {result["admin_key"]}
               shown only now; kept in {result["admin_key_file"]}

Next:
  balance-gateway check --config {config}
  balance-gateway serve --config {config}
  curl -s http://{address}:{port}/graphql -H 'Content-Type: application/json' \\
    -H "Authorization: Bearer $(cat {key_file})" \\
    -d '{{"query": "{{ viewer {{ name tenant scopes }} }}"}}'"""

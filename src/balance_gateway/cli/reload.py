"""``balance-gateway reload``: let a running gateway read its configuration again."""

import logging
import os
import signal
from pathlib import Path

import click

from balance_gateway.cli.usage import CommandError, UsageError, config_option

logger = logging.getLogger(__name__)

pid_file_option = click.option(
    "--pid-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="BALANCE_GATEWAY_PID_FILE",
    help=(
        "File with the gateway's process id; by default the configuration's path with .pid at its"
        " end (environment: BALANCE_GATEWAY_PID_FILE)."
    ),
)


@click.command()
@config_option
@pid_file_option
def reload(config_path: Path, pid_file: Path | None) -> None:
    """Let the running gateway read its configuration again.

    The gateway's log says whether the configuration was taken, and why not; /readyz of every worker
    shows the version that this command prints.
    """
    from balance_gateway.config.reader import compute_version
    from balance_gateway.server.pid_file import NotRunning, read_pid

    try:
        version = compute_version(config_path.read_bytes())
    except OSError as error:
        raise UsageError(f"{config_path} cannot be read: {error.strerror}") from None
    path = _choose_path(config_path, pid_file)
    try:
        pid = read_pid(path)
        os.kill(pid, signal.SIGHUP)
    except NotRunning as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"The gateway of {path} cannot be signalled: {error.strerror}."
        ) from None
    click.echo(f"Process {pid} reads {config_path} again: version {version}")


def claim_pid_file(config_path: Path, pid_file: Path | None) -> None:
    """Write this process's id into the pid file, and lock it until the process ends.

    Raises:
        UsageError: the file of --pid-file cannot be used. The default one is optional.
    """
    from balance_gateway.server.pid_file import Unusable, lock_pid_file

    try:
        lock_pid_file(_choose_path(config_path, pid_file))
    except Unusable as error:
        if pid_file is not None:
            raise UsageError(f"{error} Set another --pid-file.") from None
        logger.info("pid_file.not_written", extra={"reason": str(error)})


def _choose_path(config_path: Path, pid_file: Path | None) -> Path:
    return pid_file or config_path.with_name(f"{config_path.name}.pid")

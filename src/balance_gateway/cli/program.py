"""The group of all commands: standard streams that fail are one line, and never a traceback."""

import contextlib
import errno
import os
import sys
from io import TextIOWrapper
from typing import Any

import click

#: What a full or failing disk below the standard output reports.
_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class Program(click.Group):
    """The command line; also usable with closed, full or non-Unicode standard streams."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command; see ``click.Command.main``."""
        _open_missing_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # It fails for a stream that was written to and cannot seek.
                with contextlib.suppress(OSError):
                    stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **options)
        except OSError as error:
            # Files have names; a pipe without a reader is click's own case.
            if error.filename is not None or error.errno not in _WRITE_ERRORS:
                raise
            _discard_output()
            click.echo(f"Error: The output cannot be written: {error.strerror}.", err=True)
            sys.exit(1)


def _open_missing_streams() -> None:
    """Replace streams that the parent process has closed, for which Python has None.

    In this order, so that no file that is opened later gets the number of one of them.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - open until the end
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _discard_output() -> None:
    """Let what is still buffered go nowhere: it would fail again at the exit."""
    with contextlib.suppress(OSError):
        device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(device, sys.stdout.fileno())
        os.close(device)

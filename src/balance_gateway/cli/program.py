"""The group of all commands: standard streams that fail are one line, and never a traceback."""

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from io import TextIOWrapper
from typing import Any

import click

#: What a full or failing disk below the standard output reports.
_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class Commands(MutableMapping[str, click.Command]):
    """The commands of a group by name; a command is imported when it is looked up.

    Args:
        package: the package of the commands' modules.
        places: the module below the package, and the name in it, such as ``remote.writes:writes``,
            by the command's name.
    """

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self._package = package
        self._places = dict(places)
        self._imported: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        """Return a command."""
        if name not in self._imported:
            module, _, attribute = self._places[name].partition(":")
            imported = importlib.import_module(f"{self._package}.{module}")
            self._imported[name] = getattr(imported, attribute)
        return self._imported[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command."""
        self._places[name] = ""
        self._imported[name] = command

    def __delitem__(self, name: str) -> None:
        """Remove a command."""
        del self._places[name]
        self._imported.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a command of this name, without importing it."""
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of commands."""
        return len(self._places)


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

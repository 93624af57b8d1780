"""Put new files in their places: all of them or none, and never over another file."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


class Exists(Exception):
    """Files are where new ones were to be written; the message is one line that names them."""


def refuse_existing(paths: Iterable[Path]) -> None:
    """Check that nothing is at these paths, not even a link to nowhere.

    Raises:
        Exists: something is.
    """
    found = [str(path) for path in paths if os.path.lexists(path)]
    if found:
        verb, pronoun = ("exists", "it") if len(found) == 1 else ("exist", "them")
        raise Exists(
            f"{', '.join(found)} {verb}: nothing was changed; choose another folder, or move"
            f" {pronoun} away"
        )


@contextlib.contextmanager
def undo_on_failure() -> Iterator[contextlib.ExitStack]:
    """Yield a stack that undoes what was done if the block fails or is interrupted."""
    with contextlib.ExitStack() as stack:
        yield stack
        stack.pop_all()


def make_folder(path: Path, stack: contextlib.ExitStack, mode: int = 0o777) -> None:
    """Create a folder, with those above it, unless it exists; an undo removes the new ones."""
    if path.is_dir():
        return
    make_folder(path.parent, stack)
    path.mkdir(mode=mode)
    stack.callback(path.rmdir)


@contextlib.contextmanager
def staging_folder(beside: Path) -> Iterator[Path]:
    """Yield a new folder in a folder, on the same file system; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=".balance-gateway-new-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, target: Path, stack: contextlib.ExitStack) -> None:
    """Put a complete file in its place; an undo removes it.

    Raises:
        Exists: something came to be there meanwhile; it is not touched.
        OSError: the file cannot be written.
    """
    try:
        # Unlike a rename, a link never replaces a file.
        os.link(staged, target)
    except FileExistsError:
        raise Exists(f"{target} exists: nothing was changed; move it away") from None
    except OSError:
        # A file system without hard links.
        _copy_to_new(staged, target)
    stack.callback(target.unlink, missing_ok=True)


def _copy_to_new(staged: Path, target: Path) -> None:
    mode = staged.stat().st_mode & 0o777
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Exists(f"{target} exists: nothing was changed; move it away") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(staged.read_bytes())
    except BaseException:
        target.unlink(missing_ok=True)
        raise

"""Writes a file that is complete and synced, or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def write_new_file(place: Path) -> Iterator[BinaryIO]:
    """Yield a file beside a place; at the end it is synced and renamed into its place.

    Only its owner can read it.

    Raises:
        FileExistsError: there is a file in the place.
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, this replaces nothing.
        os.link(name, place)
    finally:
        os.unlink(name)
    directory = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

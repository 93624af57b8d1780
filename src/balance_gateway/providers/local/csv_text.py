"""Opens the text of a CSV file or a pipe, whatever its encoding and its ends of lines."""

import asyncio
import codecs
import contextlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast

#: The beginning that is searched for the first end of a line.
_HEAD_BYTES = 1_000_000

#: UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnknownEncoding(Exception):
    """The encoding cannot be known; the text names it and what to do."""


@contextlib.asynccontextmanager
async def open_text(path: Path | None) -> AsyncIterator[io.TextIOWrapper]:
    """Open a text for reading more than once; a pipe is read once, into a temporary file.

    Args:
        path: the file or pipe; None for standard input.

    Raises:
        UnknownEncoding: it looks like UTF-16 without a byte order mark.
        OSError: the file cannot be read.
    """
    # In a thread: a pipe may be silent for long, and the import can be cancelled meanwhile.
    file = await asyncio.to_thread(_open_seekable, path)
    with file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        encoding = _find_encoding(head)
        # Undecodable bytes of UTF-8 are reported with their line.
        errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
        newline = _find_newline(head.decode(encoding, errors="replace"))
        with io.TextIOWrapper(file, encoding, errors, newline) as text:
            yield text


def _open_seekable(path: Path | None) -> BinaryIO:
    with contextlib.ExitStack() as opened:
        if path is None:
            given = opened.enter_context(open(0, "rb", closefd=False))
        else:
            given = opened.enter_context(path.open("rb"))
            if stat.S_ISREG(os.fstat(given.fileno()).st_mode):
                opened.pop_all()
                return given
        # Standard input is copied even if it is a file, which may have been read in part.
        copy = cast(BinaryIO, opened.enter_context(tempfile.TemporaryFile()))
        shutil.copyfileobj(given, copy)
        copy.seek(0)
        given.close()
        opened.pop_all()
        return copy


def _find_encoding(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\x00" in head[:2]:
        raise UnknownEncoding(
            "looks like UTF-16 without a byte order mark; save the file as CSV in UTF-8"
        )
    return "utf-8-sig"


def _find_newline(head: str) -> str:
    """Return how lines end; a carriage return alone only if the first line ends so."""
    line_feed, carriage_return = head.find("\n"), head.find("\r")
    is_alone = carriage_return >= 0 and head[carriage_return + 1 : carriage_return + 2] != "\n"
    return "\r" if is_alone and (line_feed < 0 or carriage_return < line_feed) else "\n"

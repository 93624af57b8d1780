"""Reads the lines of a CSV file or a pipe, whatever its encoding and its ends of lines."""

import asyncio
import codecs
import contextlib
import csv
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

LINE_LENGTH_MAX = 1_000_000

#: Number of characters that are read at a time, up to the end of a line.
_GROUP_CHARACTERS = 100_000

#: The beginning that is searched for the first end of a line.
_HEAD_BYTES = 1_000_000

#: UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


#: The lone surrogates as which bytes appear that are not UTF-8.
_UNDECODABLE = re.compile("[\udc80-\udcff]")

_SAVE_AS_UTF_8 = "save the file as CSV in UTF-8"


class UnknownEncoding(Exception):
    """The encoding cannot be known; the text names it and what to do.

    Attributes:
        line: the first line that shows it, counted from 1.
    """

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(f"{message}; {_SAVE_AS_UTF_8}")
        self.line = line


class CsvText:
    r"""The text of a file, which can be read more than once.

    Args:
        file: the opened file; its ``newline`` is the end of a line.
        newline: ``\n`` or ``\r``.

    Attributes:
        newline: the end of a line.
        bytes_total: the size of the file.
    """

    def __init__(self, file: io.TextIOWrapper, newline: str) -> None:
        self._file = file
        self.newline = newline
        self.bytes_total = os.fstat(file.fileno()).st_size

    def count_bytes_read(self) -> int:
        """Return the number of bytes read so far, some of which may not be lines yet."""
        return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)

    def read_lines(self) -> Iterator[Sequence[str]]:
        """Yield all lines with their ends, in groups, from the beginning of the text.

        Raises:
            UnknownEncoding: a line has bytes of another encoding; all lines before were yielded.
            csv.Error: a line is longer than ``LINE_LENGTH_MAX``; all lines before were yielded.
        """
        self._file.seek(0)
        # A call that finds other bytes returns nothing of what it has read, except in UTF-8.
        is_utf_8 = self._file.errors == "surrogateescape"
        number = 1
        try:
            while group := self._file.read(_GROUP_CHARACTERS if is_utf_8 else 1):
                group += self._file.readline(LINE_LENGTH_MAX)
                *lines, rest = group.split(self.newline)
                lines = [line + self.newline for line in lines]
                if rest:
                    lines.append(rest)
                is_decoded = group.isascii() or not _UNDECODABLE.search(group)
                if len(group) >= LINE_LENGTH_MAX or not is_decoded:
                    yield from self._read_until_bad(lines, number)
                else:
                    yield lines
                number += len(lines)
        except UnicodeDecodeError as error:
            encoding = error.encoding.upper()
            raise UnknownEncoding(f"this or a later line is not {encoding}", number) from None

    def _read_until_bad(self, lines: Sequence[str], number: int) -> Iterator[Sequence[str]]:
        for position, line in enumerate(lines):
            # The end of a line within the limit is the last character of it.
            if len(line.removesuffix(self.newline)) >= LINE_LENGTH_MAX:
                yield lines[:position]
                raise csv.Error(f"a line is longer than {LINE_LENGTH_MAX:,} characters")
            found = _UNDECODABLE.search(line)
            if found is not None:
                yield lines[:position]
                byte = ord(found[0]) - 0xDC00
                message = f"has the byte 0x{byte:02X}, which is not UTF-8 but perhaps Latin-1"
                raise UnknownEncoding(message, number + position)
        yield lines


@contextlib.asynccontextmanager
async def open_text(path: Path | None) -> AsyncIterator[CsvText]:
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
            yield CsvText(text, newline)


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
        raise UnknownEncoding("looks like UTF-16 without a byte order mark")
    return "utf-8-sig"


def _find_newline(head: str) -> str:
    """Return how lines end; a carriage return alone only if the first line ends so."""
    line_feed, carriage_return = head.find("\n"), head.find("\r")
    is_alone = carriage_return >= 0 and head[carriage_return + 1 : carriage_return + 2] != "\n"
    return "\r" if is_alone and (line_feed < 0 or carriage_return < line_feed) else "\n"

"""Reads a list page by page, up to a limit."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from balance_gateway.cli.remote.models import PageInfo
from balance_gateway.cli.remote.progress import show_progress
from balance_gateway.cli.usage import CommandError

T = TypeVar("T")

limit_option = click.option(
    "--limit", type=click.IntRange(1), help="Read at most this many; by default all."
)

#: Reads a page: takes its size and the cursor before it, returns its rows, its position and the
#: number of all rows, if known.
ReadPage = Callable[[int, str | None], tuple[list[T], PageInfo, int | None]]


def read_pages(read_page: ReadPage[T], page_size: int, limit: int | None, noun: str) -> Iterator[T]:
    """Yield the rows of all pages.

    Args:
        read_page: reads one page.
        page_size: the number of rows of a page.
        limit: the number of rows to stop after; None for all.
        noun: what a row is, in the plural, for messages.

    Raises:
        CommandError: a page cannot be read; the message says how many rows came before.
    """
    done, cursor = 0, None
    with show_progress(noun) as update:
        while limit is None or done < limit:
            size = page_size if limit is None else min(page_size, limit - done)
            try:
                rows, position, total = read_page(size, cursor)
                if position.has_next_page and position.end_cursor in (None, cursor):
                    raise CommandError("The gateway sent the same page twice. Try again.")
                if position.has_next_page and not rows:
                    # Without this a server of always new cursors would be asked for ever.
                    raise CommandError("The gateway sent an empty page before the last. Try again.")
            except CommandError as error:
                if not done:
                    raise
                message = f"{error.message} The list ends after {done} {noun}."
                raise CommandError(message) from None
            done += len(rows)
            yield from rows
            if not position.has_next_page:
                return
            update(done, total if limit is None or total is None else min(total, limit))
            cursor = position.end_cursor

"""Shows progress of long work on stderr, if that is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Update = Callable[[int, int | None], None]


@contextlib.contextmanager
def show_progress(noun: str) -> Iterator[Update]:
    """Show a progress bar; yield a function that takes what is done and the total, if known."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(noun), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(noun, total=None)

    def update(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)
        # What needs one request only is not long.
        if total is None or done < total:
            bar.start()

    try:
        yield update
    finally:
        bar.stop()

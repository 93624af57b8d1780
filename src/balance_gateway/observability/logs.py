"""Structured logs: one JSON object a line on stderr, or plain lines on a terminal.

structlog renders the records of the standard library's loggers, ours and those of libraries. What
must not be in a log is never given to one: no headers, no amounts, no query text, no secrets.
"""

import logging
import sys
import traceback

import structlog

#: Libraries that log what must not be logged (query texts, variables), or log each request.
_SILENCED = ("strawberry.execution", "uvicorn.access", "httpx", "httpcore", "aiocache", "alembic")


#: Of a chain of exceptions, and of each one's frames, so many are told.
_CAUSES_MAX, _FRAMES_MAX = 5, 8


def configure_logs(level: str = "INFO", *, terminal: bool | None = None) -> None:
    """Sets up logging for this process.

    Args:
        level: the least level that is shown. Below INFO of the gateway's own loggers only: what
            libraries say of themselves then would bury it, and some tell what they were given.
        terminal: plain lines instead of JSON; None: as stderr is a terminal or not.
    """
    if terminal is None:
        terminal = sys.stderr.isatty()
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        told_exception,
    ]
    renderer = (
        structlog.dev.ConsoleRenderer(colors=False)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Loggers taken from structlog itself go the same way.
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level.upper()]))
    logging.getLogger("balance_gateway").setLevel(level.upper())
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("uvicorn", "uvicorn.error"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)


def told_exception(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Tells an exception by its kinds and by where it was raised, never by its text.

    The text of an exception may hold what it was about: amounts, names, parts of an answer.
    """
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if not isinstance(error, BaseException):
        return event
    return {**event, **facts_of(error)}


def facts_of(error: BaseException) -> dict[str, list[str]]:
    """The kinds of an exception and its causes, and where they were raised; not their texts."""
    kinds: list[str] = []
    frames: list[str] = []
    link: BaseException | None = error
    while link is not None and len(kinds) < _CAUSES_MAX:
        kinds.append(type(link).__qualname__)
        frames += [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(link.__traceback__)[-_FRAMES_MAX:]
        ]
        link = link.__cause__ or link.__context__
    return {"kinds": kinds, "frames": frames}

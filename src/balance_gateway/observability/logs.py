"""Configures structured logs: one JSON object per line on stderr, or plain lines on a terminal.

structlog renders the records of all standard library loggers, the gateway's and the libraries'.
Code never passes headers, amounts, query text or secrets to a logger.
"""

import logging
import sys
import traceback

import structlog

from balance_gateway.ports import call_context

#: Loggers of libraries that log confidential data (query text, variables) or every request.
_SILENCED = ("strawberry.execution", "uvicorn.access", "httpx", "httpcore", "aiocache", "alembic")


#: Maximum number of logged account ids of one call.
_ACCOUNTS_MAX = 20

#: Maximum number of logged exceptions in a chain, and of logged frames per exception.
_CAUSES_MAX, _FRAMES_MAX = 5, 8


def configure_logs(level: str = "INFO", *, terminal: bool | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: the lowest level that is logged. Levels below INFO apply only to the gateway's own
            loggers.
        terminal: whether to log plain lines instead of JSON; None decides by whether stderr is a
            terminal.
    """
    if terminal is None:
        terminal = sys.stderr.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        add_call_context,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        replace_exception,
    ]
    renderer = (
        structlog.dev.ConsoleRenderer(colors=False)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Loggers created through structlog itself use the same handler.
    structlog.configure(
        processors=[*processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries stay at INFO: at DEBUG they log very much, some of it statements and values.
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level.upper()]))
    logging.getLogger("balance_gateway").setLevel(level.upper())
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("uvicorn", "uvicorn.error"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)


def add_call_context(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the request and the accounts for which the current task calls a provider.

    One call may be for many accounts: ``account_id`` is there for one, else ``account_ids`` has the
    first of them, and ``accounts`` their number.
    """
    if request_id := call_context.request_id.get():
        event.setdefault("request_id", request_id)
    ids = call_context.account_ids.get()
    if len(ids) == 1:
        event.setdefault("account_id", ids[0])
    elif ids and "account_id" not in event:
        event.update(account_ids=ids[:_ACCOUNTS_MAX], accounts=len(ids))
    return event


def replace_exception(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace the exception of an event with its types and the places where it was raised.

    The text is dropped: it may contain amounts, names or parts of a response.
    """
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if not isinstance(error, BaseException):
        return event
    return {**event, **describe_exception(error)}


def describe_exception(error: BaseException) -> dict[str, list[str]]:
    """Describe an exception and its causes without their texts.

    Returns:
        ``kinds``, the type names from the exception to its first cause, and ``frames``, the
        places where they were raised.
    """
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

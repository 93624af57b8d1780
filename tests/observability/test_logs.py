"""Tests that logs contain events but no confidential data."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from balance_gateway.observability.logs import configure_logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The logged JSON lines; the loggers are restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("INFO", terminal=False)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("balance_gateway").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def parse_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    try:
        raise ValueError("the amount is 1234.56")
    except ValueError as error:
        raise RuntimeError("of Operating EUR") from error


@pytest.mark.parametrize("library", [True, False], ids=["logging", "structlog"])
def test_an_exception_is_logged_by_type_and_place_without_text(
    lines: io.StringIO, library: bool
) -> None:
    logger: Any = logging.getLogger("x") if library else structlog.get_logger("x")
    try:
        fail()
    except RuntimeError:
        logger.exception("something.failed")

    (line,) = parse_lines(lines)

    assert (line["event"], line["level"]) == ("something.failed", "error")
    assert line["kinds"] == ["RuntimeError", "ValueError"]
    assert any("test_logs.py" in frame and frame.endswith(" fail") for frame in line["frames"])
    assert "1234" not in lines.getvalue()
    assert "Operating" not in lines.getvalue()


def test_extra_fields_are_logged_with_the_event(lines: io.StringIO) -> None:
    logging.getLogger("x").info("write.resolved", extra={"outcome": "applied"})

    (line,) = parse_lines(lines)

    assert (line["event"], line["outcome"]) == ("write.resolved", "applied")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", ["strawberry.execution", "uvicorn.access", "httpx", "aiocache"])
def test_loggers_with_confidential_data_are_silent(lines: io.StringIO, name: str) -> None:
    logging.getLogger(name).error("GET /secret?key=1234")

    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", ["ours.debug", "ours.info", "theirs.info"]),
        ("info", ["ours.info", "theirs.info"]),
        ("ERROR", []),
    ],
)
def test_only_the_gateway_logs_below_info(
    monkeypatch: pytest.MonkeyPatch, lines: io.StringIO, level: str, shown: list[str]
) -> None:
    """Libraries log very much at DEBUG, including statements and values."""
    monkeypatch.setattr(sys, "stderr", lines)
    configure_logs(level, terminal=False)

    logging.getLogger("balance_gateway.app").debug("ours.debug")
    logging.getLogger("sqlalchemy.engine").debug("theirs.debug")
    logging.getLogger("balance_gateway.app").info("ours.info")
    logging.getLogger("other").info("theirs.info")

    assert [line["event"] for line in parse_lines(lines)] == shown

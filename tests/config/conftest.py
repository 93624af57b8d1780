"""Fixtures that write and read configuration files."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.app.configuration import read_settings
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import Settings

ReadText = Callable[[str], Settings]


@pytest.fixture
def read_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadText:
    """Return a function that reads the settings from text; ``env:KEY`` is set."""
    monkeypatch.setenv("KEY", "k" * 40)
    monkeypatch.setenv("OTHER_KEY", "o" * 40)

    def read_from_text(text: str) -> Settings:
        path = tmp_path / "gateway.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return read_settings(path)

    return read_from_text


@pytest.fixture
def read_error(read_text: ReadText) -> Callable[[str], str]:
    """Return a function that returns the error message of invalid text."""

    def read_error_message(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read_text(text)
        message = str(caught.value)
        assert message.isprintable(), message
        assert caught.value.__cause__ is None
        return message

    return read_error_message

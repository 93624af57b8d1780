"""Writes configuration files and reads them. Variables of the environment are set as needed."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.config.reader import read_settings
from balance_gateway.config.settings import Settings
from balance_gateway.config.table import ConfigError

Read = Callable[[str], Settings]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """The settings of a file with this text; ``env:KEY`` is set."""
    monkeypatch.setenv("KEY", "k" * 40)
    monkeypatch.setenv("OTHER_KEY", "o" * 40)

    def read_text(text: str) -> Settings:
        path = tmp_path / "gateway.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return read_settings(path)

    return read_text


@pytest.fixture
def refusal(read: Read) -> Callable[[str], str]:
    """The one line with which a file is refused."""

    def refuse(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text)
        message = str(caught.value)
        assert message.isprintable(), message
        assert caught.value.__cause__ is None
        return message

    return refuse

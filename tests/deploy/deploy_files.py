"""Reads the files of ``deploy`` and what they name of the product."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from balance_gateway.app.configuration import read_settings
from balance_gateway.app.write_deadlines import build_write_deadlines
from balance_gateway.config.settings import Settings
from balance_gateway.server.draining import IDLE_GRACE_S
from balance_gateway.server.server import DRAIN_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
SECRETS = {
    "storage_url": "postgresql://gateway:a-password-of-a-test@postgres:5432/gateway",
    "cache_url": "rediss://:a-password-of-a-test@valkey:6379/0",
}


def read_yaml(path: str) -> Any:
    """Read a file that holds one document."""
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def list_secret_paths(config: Path) -> list[str]:
    """Return the paths of the secrets that a configuration file refers to."""
    return re.findall(r'"file:([^"]+)"', config.read_text(encoding="utf-8"))


def read_config(config: Path, folder: Path) -> Settings:
    """Read a configuration file as the product does, with secrets in a folder of the test."""
    text = config.read_text(encoding="utf-8")
    for path in list_secret_paths(config):
        name = Path(path).name
        (folder / name).write_text(SECRETS.get(name, f"{name}-of-a-test-{'x' * 22}"))
        text = text.replace(path, str(folder / name))
    copy = folder / config.name
    copy.write_text(text, encoding="utf-8")
    return read_settings(copy)


def compute_drain_s(settings: Settings) -> float:
    """Return the longest time from SIGTERM to the end of the process."""
    return IDLE_GRACE_S + DRAIN_S + build_write_deadlines(settings).lease_s


def list_named_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after ``balance-gateway`` in a shell line, without those of the shell."""
    for words in re.findall(r"(?<!-n )\bbalance-gateway((?: [a-z-]+)+)(?= *(?:#|$))", text, re.M):
        yield words.split()


def find_command(group: click.Command, words: list[str]) -> list[str]:
    """Return the words that are left after the command that they name; fail if there is none."""
    while words and isinstance(group, click.Group):
        assert words[0] in group.commands, f"balance-gateway has no command {words[0]}"
        group, words = group.commands[words[0]], words[1:]
    assert not isinstance(group, click.Group)
    options = {option for one in group.params for option in one.opts}
    unknown = [word for word in words if word.startswith("-") and word not in options]
    assert unknown == []
    return words


def list_environment_names(group: click.Command) -> set[str]:
    """Return the environment variables that a command and those below it read."""
    names = {str(one.envvar) for one in group.params if one.envvar}
    if isinstance(group, click.Group):
        for command in group.commands.values():
            names |= list_environment_names(command)
    return names

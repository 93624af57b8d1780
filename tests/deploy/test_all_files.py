"""What holds for every file of ``deploy``: commands, variables and secrets."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from balance_gateway.cli import main
from tests.deploy.deploy_files import (
    DEPLOY,
    FILES,
    find_command,
    list_environment_names,
    list_named_commands,
)

#: Files whose programs are not there where the tests run.
NOT_RUN = [
    path
    for path in FILES
    if path.parent.name in {"container", "compose", "kubernetes", "grafana"}
    and path.name not in {"Dockerfile.dockerignore", "gateway.toml", "dashboard.json"}
]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@pytest.mark.parametrize("path", NOT_RUN, ids=lambda path: path.name)
def test_file_that_is_not_run_says_so_in_its_first_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]

    assert re.match(r"# Not \w+ where this repository is tested", first)


@each_file
def test_named_commands_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    for words in list_named_commands(text):
        find_command(main, words)


def test_commands_are_found_in_the_files() -> None:
    named = {words[0] for path in FILES for words in list_named_commands(path.read_text("utf-8"))}

    assert named >= {"reload", "serve", "check"}


@each_file
def test_variables_of_the_gateway_exist(path: Path) -> None:
    used = set(re.findall(r"BALANCE_GATEWAY_[A-Z_]+", path.read_text(encoding="utf-8")))

    assert used <= list_environment_names(main)


def list_pairs(value: Any) -> list[tuple[str, Any]]:
    """Return all keys with their values, at every depth; names of variables are keys as well."""
    if isinstance(value, list):
        return [pair for each in value for pair in list_pairs(each)]
    if not isinstance(value, dict):
        return []
    pairs = [(str(key), each) for key, each in value.items()]
    if "name" in value and "value" in value:
        pairs.append((str(value["name"]), value["value"]))
    return pairs + [pair for each in value.values() for pair in list_pairs(each)]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in {".yaml", ".yml"}], ids=lambda one: one.name
)
def test_no_secret_is_written_into_a_file(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert not (isinstance(document, dict) and document.get("kind") == "Secret")
        for key, value in list_pairs(document):
            if re.search(r"password|secret|token|api_?key|credential", key, re.I):
                is_path = key.upper().endswith("_FILE") or isinstance(value, bool | dict | list)
                assert is_path or key == "secretName", f"{key} must name a file"


def test_no_folder_of_secrets_is_part_of_the_repository() -> None:
    assert [path for path in DEPLOY.rglob("*") if path.name.startswith("secrets")] == []

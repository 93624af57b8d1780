"""The documents match the code: settings, metrics, codes, commands, limits, examples."""

import importlib.util
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.app.configuration import parse_settings
from balance_gateway.cli import main
from balance_gateway.config.accounts import AccountEntry, build_account_type
from balance_gateway.config.connector_settings import HttpConnectorSettings
from balance_gateway.config.settings import (
    ApiKeySettings,
    CacheSettings,
    JwtSettings,
    ServerSettings,
    StorageSettings,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.secret import Secret
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline import redis_url
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.storage import postgresql_url
from balance_gateway_sandbox.http.faults import KINDS
from tests.system.processes import run_demo

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the text of operations.md from a heading to the next heading of any level."""
    found = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", OPERATIONS, re.MULTILINE | re.DOTALL
    )
    assert found, f"operations.md has no section {title!r}"
    return found[1]


def parse_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row in a text."""
    for line in text.splitlines():
        if line.startswith("|") and not re.match(r"\|[-| :]+\|$", line):
            yield [cell.strip() for cell in line[1:-1].split("|")]


def code_spans(cell: str) -> list[str]:
    """Return the code spans of a table cell."""
    return re.findall(r"`([^`]+)`", cell)


def read_first_column(title: str) -> set[str]:
    return {name for cells in parse_rows(section(title)) for name in code_spans(cells[0])}


def format_default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, float):
        return f"{value:g}" if value < 10**5 else str(int(value))
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(
    ("title", "defaults"),
    [
        ("`[server]`", ServerSettings()),
        ("`[storage]`", StorageSettings()),
        ("`[cache]`", CacheSettings()),
    ],
)
def test_table_of_settings_has_every_key_with_its_default(title: str, defaults: Any) -> None:
    documented = {
        code_spans(cells[0])[0]: cells[1]
        for cells in parse_rows(section(title))
        if code_spans(cells[0])
    }

    assert documented == {
        name: f"`{format_default(getattr(defaults, name))}`" for name in defaults.__struct_fields__
    }


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("`[[auth.api_keys]]`", set(ApiKeySettings.__struct_fields__)),
        ("`[auth.jwt]`", set(JwtSettings.__struct_fields__)),
        ("`[connectors.NAME]`", {"provider", *HttpConnectorSettings.__struct_fields__}),
        ("`[[accounts]]`", set(AccountEntry.__struct_fields__)),
    ],
)
def test_table_of_settings_has_every_key_and_no_other(title: str, keys: set[str]) -> None:
    assert read_first_column(title) == keys


@pytest.mark.parametrize("kind", ProviderKind, ids=lambda kind: kind.value)
def test_page_of_a_provider_has_its_settings_and_no_other(kind: ProviderKind) -> None:
    page = (ROOT / "docs" / "providers" / f"{kind.value}.md").read_text(encoding="utf-8")
    spec = PROVIDERS[kind]
    common = {*HttpConnectorSettings.__struct_fields__, *AccountEntry.__struct_fields__}
    own = {*spec.settings.__struct_fields__, *build_account_type(spec).__struct_fields__} - common
    table = page.split("## Settings\n")[1].split("\n## ")[0] if own else ""

    assert {name for cells in parse_rows(table) for name in code_spans(cells[0])} == own
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert any(f'provider = "{kind.value}"' in example for example in examples)


def test_scopes_are_documented() -> None:
    assert [scope.value for scope in Scope if f"`{scope.value}`" not in OPERATIONS] == []


def test_table_of_metrics_has_every_metric_and_no_other() -> None:
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
    }

    assert read_first_column("Metrics") & families == families
    assert set(re.findall(r"balance_gateway_[a-z_]+", OPERATIONS)) <= families


def test_table_of_metrics_has_their_labels() -> None:
    labels = {
        f"{collector._name}_total" if collector._type == "counter" else collector._name: set(
            collector._labelnames
        )
        for collector in vars(Metrics()).values()
        if hasattr(collector, "_labelnames")
    }
    documented = {
        code_spans(cells[0])[0]: set(filter(None, cells[1].split(", ")))
        for cells in parse_rows(section("Metrics"))
        if code_spans(cells[0]) and code_spans(cells[0])[0] in labels
    }

    assert documented == labels


def test_table_of_error_codes_has_every_code_and_no_other() -> None:
    assert read_first_column("Error codes") == set(ErrorCode)


def test_table_of_faults_has_every_kind_and_no_other() -> None:
    rows = parse_rows(section("The sandbox"))
    documented = [kind for cells in rows for kind in code_spans(cells[0])]

    assert sorted(documented) == sorted(KINDS)


def list_commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from list_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def read_command_section(path: str) -> str:
    """Return the section of a command in commands.md, and those of the common options."""
    found = re.search(
        rf"^## `{re.escape(path)}`\n(.*?)(?=^## |\Z)", COMMANDS, re.MULTILINE | re.DOTALL
    )
    common = COMMANDS.split("## The gateway and the key\n")[1].split("\n## Errors")[0]
    return found[1] + common if found else ""


@pytest.mark.parametrize(
    ("path", "command"),
    list(list_commands(main, "balance-gateway")),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_command_is_documented_with_every_option(path: str, command: click.Command) -> None:
    documented = [
        cells[0] + cells[1] for cells in parse_rows(section("Running")) if path in cells[0]
    ]
    if remote := read_command_section(path):
        documented.append(remote)
    options = [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]

    assert len(documented) == 1, f"operations.md has no row for {path}, nor commands.md a section"
    assert [option for option in options if option not in documented[0]] == []
    assert f"`{path}`" in README or remote


def test_programs_named_in_documents_exist() -> None:
    modules = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"python -m ([a-z_.]+)", document.read_text(encoding="utf-8"))
    }

    assert modules
    assert [name for name in sorted(modules) if importlib.util.find_spec(name) is None] == []


def test_table_of_limits_has_every_limit_with_its_value() -> None:
    """A client met limits, such as 50 fragments, that no page named."""
    documented = {
        code_spans(cells[0])[0]: int(cells[1].replace(",", ""))
        for cells in parse_rows(section("Limits"))
        if code_spans(cells[0])
    }

    # The number of accounts is not fixed: it is that of the largest company.
    limits = {field.name for field in fields(DEFAULT_LIMITS)} - {"accounts"}

    assert documented == {name: getattr(DEFAULT_LIMITS, name) for name in limits}


def test_table_of_log_events_has_every_event_from_info_on() -> None:
    call = re.compile(r"\b_?log(?:ger)?\.(?:info|warn|warning|error|exception)\(\s*\"([a-z_.]+)\"")
    sources = (ROOT / "src" / "balance_gateway").rglob("*.py")
    events = {event for path in sources for event in call.findall(path.read_text("utf-8"))}

    assert events
    assert read_first_column("Logs") == events


def test_events_of_debug_are_documented() -> None:
    call = re.compile(r"\blogger\.debug\(\s*\"([a-z_.]+)\"")
    sources = (ROOT / "src" / "balance_gateway").rglob("*.py")
    events = {event for path in sources for event in call.findall(path.read_text("utf-8"))}

    assert events
    assert [event for event in sorted(events) if event not in section("Logs")] == []


def test_tables_of_urls_have_every_parameter_and_no_other() -> None:
    of_postgresql = {*postgresql_url._CHECKS, *postgresql_url._PARTS}

    assert read_first_column("The URL of PostgreSQL") == of_postgresql
    assert read_first_column("The URL of Redis") == set(redis_url._PARSERS)


def code_blocks(language: str) -> list[Any]:
    """Return every code block in this language of all documents."""
    return [
        pytest.param(text, id=f"{document.stem}-{number}")
        for document in DOCUMENTS
        for number, text in enumerate(
            re.findall(rf"```{language}\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
        )
    ]


@pytest.mark.parametrize("text", code_blocks("toml"))
def test_configuration_example_is_valid(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(re.findall(r'"env:([A-Z_]+)"', text)):
        monkeypatch.setenv(name, f"the-secret-of-the-example-{number}")

    settings = parse_settings(tomllib.loads(text), tmp_path)

    assert settings.connectors


def test_complete_configuration_shows_every_default() -> None:
    whole = tomllib.loads(section("The whole file").split("```toml\n")[1].split("```")[0])

    assert set(whole) == {"server", "storage", "cache", "auth", "connectors", "accounts"}
    for name, defaults in (
        ("server", ServerSettings()),
        ("storage", StorageSettings()),
        ("cache", CacheSettings()),
    ):
        shown = {key: format_default(value) for key, value in _lists_to_tuples(whole[name]).items()}
        assert shown == {
            key: format_default(getattr(defaults, key))
            for key in defaults.__struct_fields__
            if getattr(defaults, key) is not None
        }


def _lists_to_tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


@pytest.mark.parametrize("text", code_blocks("json"))
def test_json_example_is_valid(text: str) -> None:
    json.loads(text)


def test_readme_shows_the_responses_to_its_queries(tmp_path: Path) -> None:
    """Run the documented commands with the demo's address and keys."""
    shell = re.findall(r"```sh\n(curl .*?)```\n.*?```json\n(.*?)```", README, re.DOTALL)
    assert len(shell) == 2

    with run_demo(tmp_path) as (_, printed):
        responses = [_run_curl(command, printed) for command, _ in shell]

    assert responses == [json.loads(shown) for _, shown in shell]


def _run_curl(command: str, printed: dict[str, Any]) -> Any:
    words = shlex.split(command.replace("\\\n", " "))
    body = words[words.index("-d") + 1]
    key = printed["admin_key" if "$ADMIN_KEY" in command else "read_key"]
    return httpx.post(
        printed["graphql_url"],
        content=body,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=30,
        trust_env=False,
    ).json()


LINKS = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_headings_have_a_target(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    broken = [
        f"{target}#{anchor}"
        for target, anchor in LINKS.findall(text)
        if "://" not in target
        and anchor not in _anchors((document.parent / target) if target else document)
    ]

    assert broken == []


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_has_no_placeholder_and_no_machine_path(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert re.findall(r"FIRST_[A-Z]+|TODO|TBD|FIXME|XXX", text) == []
    assert [part for part in ("/home/", "/root/", "/Users/") if part in text] == []
    assert os.sep + "tmp" + os.sep not in text


def test_tests_that_guarantees_name_exist() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", page)
    sources = {path: (ROOT / "tests" / path).read_text(encoding="utf-8") for path, _ in named}

    assert len(named) > 40
    assert len(named) == page.count("::test_")
    assert [test for path, test in named if f"def {test}(" not in sources[path]] == []

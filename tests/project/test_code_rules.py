"""Code rules: style, types, the direction of imports, and generated files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def run_module(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "src", "tests"),
        ("ruff", "format", "--check", "src", "tests"),
        ("mypy",),
        ("importlinter.cli", "--no-cache"),
    ],
    ids=["ruff", "format", "mypy", "imports"],
)
def test_tool_reports_no_error(command: tuple[str, ...]) -> None:
    done = run_module(*command) if command[0] != "importlinter.cli" else lint_imports()

    assert done.returncode == 0, done.stdout + done.stderr


def lint_imports() -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_schema_file_matches_the_command_s_output() -> None:
    printed = run_module("balance_gateway", "schema").stdout

    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == printed


def test_configuration_schema_matches_the_command_s_output() -> None:
    printed = run_module("balance_gateway", "config", "schema").stdout

    assert (ROOT / "docs" / "gateway.schema.json").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_has_a_docstring_and_a_bounded_length(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    first = text.split("\n", 1)[0]
    assert re.match(r'r?"""[A-Z`].*', first), (
        f"{path} must start with a docstring that states its job"
    )
    assert first != '"""."""'
    assert text.count("\n") <= 400, f"{path} is too long; split it"


def test_changelog_has_an_entry_for_the_version() -> None:
    from balance_gateway import __version__

    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_documents_link_to_files_that_exist() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]

    assert not broken


def test_httpx_is_imported_where_it_is_needed_only() -> None:
    importers = [
        str(path.relative_to(ROOT / "src"))
        for path in SOURCES
        if re.search(r"^\s*(import|from) httpx\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert importers == [
        "balance_gateway/cli/remote/client.py",
        "balance_gateway/cli/remote/failures.py",
        "balance_gateway/transport/httpx_transport.py",
    ]


def test_gateway_starts_without_httpx() -> None:
    """It is slow to import, and the default transport does not need it."""
    program = (
        "import sys, balance_gateway.app.asgi, balance_gateway.cli.serve\n"
        "import balance_gateway.web.jwks\n"
        "import balance_gateway.providers.light.provider\n"
        "print(sorted({'httpx', 'httpcore', 'idna'} & set(sys.modules)))"
    )

    assert run_program(program).stdout == "[]\n"


def test_a_command_imports_neither_other_commands_nor_the_api() -> None:
    """Each start of `local import` took half a second for the API, which it does not use."""
    program = (
        "import sys\n"
        "from balance_gateway.cli import main\n"
        "main.commands['local']\n"
        "import balance_gateway.app.ledger_import\n"
        "unused = {'balance_gateway.cli.serve', 'strawberry', 'redis'}\n"
        "unused |= {'sqlalchemy.dialects.postgresql'}\n"
        "print(sorted(unused & set(sys.modules)))"
    )

    assert run_program(program).stdout == "[]\n"


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

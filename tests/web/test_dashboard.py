"""The dashboard's files: self-contained, safe against injected HTML, translatable, and checked."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from balance_gateway.api.execution.documents import Documents
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.web import dashboard
from tests.api.fakes import READ, GatewayHarness, account, open_client

STATIC = Path(dashboard.__file__).parent / "static"
INDEX = (STATIC / "index.html").read_text()
MODULES = {path.name: path.read_text() for path in sorted((STATIC / "page").glob("*.js"))}
SCRIPTS = "\n".join(MODULES.values())
QUERIES: dict[str, str] = dict(
    re.findall(r"export const (\w+) = `(.*?)`;", MODULES["queries.js"], re.DOTALL)
)
TYPESCRIPT = Path(__file__).parent / "typescript"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/", "text/html"), ("/favicon.svg", "image/svg+xml"),
     *((f"/page/{path.name}", "text/css" if path.suffix == ".css" else "text/javascript")
       for path in sorted((STATIC / "page").glob("*.[cj]s*")))],
)  # fmt: skip
async def test_every_file_has_a_strict_security_policy(harness: GatewayHarness, path, media_type):
    async with open_client(harness) as client:
        response = await client.http.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(media_type)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for source in ("script-src", "style-src", "connect-src", "img-src"):
        assert f"{source} 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_other_paths_are_not_found(harness: GatewayHarness):
    async with open_client(harness) as client:
        for path in ("/dashboard.py", "/static/index.html", "/..%2fapp.py", "/page/types.d.ts"):
            assert (await client.http.get(path)).status_code == 404


async def test_the_page_learns_whether_a_proxy_adds_a_credential(harness: GatewayHarness):
    async with open_client(harness) as client:
        without = await client.http.get("/page/credential")
        client.http.headers["Authorization"] = f"Bearer {READ}"
        added = await client.http.get("/page/credential")

    assert (without.json(), added.json()) == ({"present": False}, {"present": True})
    assert added.headers["cache-control"] == "no-store"
    assert added.headers["vary"] == "Authorization"


def test_page_has_no_external_and_no_inline_resources():
    assert "http" not in INDEX.replace("http-equiv", "")
    assert "style=" not in INDEX
    assert not re.search(r"<[^>]* on\w+=", INDEX)
    assert re.findall(r"<script[^>]*>(.*?)</script>", INDEX, re.DOTALL) == [""]
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", SCRIPTS) == []


def test_scripts_write_no_html_and_parse_no_amounts():
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "parseFloat", "localStorage"):  # fmt: skip
        assert forbidden not in SCRIPTS
    # A number places a point of a chart; in rows, totals and files amounts are text or BigInt.
    for name in ("rows.js", "totals.js", "view.js", "csv.js", "cells.js", "opening.js"):
        assert not re.search(r"Number\([^)]*amount", MODULES[name]), name


def test_every_text_is_in_one_file_and_used():
    """A text that a translator would not find, or would translate for nothing."""
    texts = MODULES["text.js"]
    others = INDEX + "".join(text for name, text in MODULES.items() if name != "text.js")
    labels = re.findall(r"^  (\w+):", texts[texts.index("LABELS") : texts.index("PROVIDERS")], re.M)
    sentences = re.findall(r"^  (\w+):", texts[texts.index("export const TEXT") :], re.M)
    shown = re.sub(
        r"<noscript>.*?</noscript>|<title>.*?</title>|<h1>.*?<span id", "", INDEX, flags=re.DOTALL
    )

    for name in labels:
        assert re.search(rf'data-text="{name}"|LABELS\.{name}\b|LABELS\[name\]', others), name
    for name in sentences:
        assert re.search(rf"TEXT\.{name}\b", others), name
    assert set(re.findall(r'data-text="(\w+)"', INDEX)) <= set(labels)
    assert re.findall(r">\s*([A-Za-z][\w ,.]+)<", shown) == ["Balance Gateway "]


def test_every_control_has_a_label_and_every_column_a_header():
    for control in re.findall(r'<(?:input|select) id="([^"]+)"', INDEX):
        labelled = f'for="{control}"' in INDEX
        wrapped = re.search(rf'<label[^>]*>(?:(?!</label>).)*id="{control}"', INDEX, re.DOTALL)
        assert labelled or wrapped, control
    assert INDEX.count('<th scope="col"') == 8
    assert '<html lang="en">' in INDEX


@pytest.mark.parametrize("name", QUERIES)
def test_its_documents_are_valid_and_compact_enough_for_a_get(name: str):
    document = QUERIES[name]
    prepared = Documents(build_core_schema(), Limits()).get_operation(document, None)

    assert prepared.is_mutation == (name in ("SET_OPENING", "SETTLE"))
    # Proxies refuse longer addresses.
    assert len(re.sub(r"\s+", " ", document)) < 1500


def test_polled_documents_ask_for_nothing_that_changes_by_itself():
    for name in ("LIST", "ACCOUNTS", "SUMMARY", "OPENINGS"):
        for field in ("ageSeconds", "remaining", "refillsAt", "lastSuccessAt", "lastFailureAt"):
            assert field not in QUERIES[name], (name, field)


async def test_its_query_succeeds_within_the_cost_limit():
    harness = GatewayHarness([account(f"a{n:04}") for n in range(1030)])
    document = QUERIES["ACCOUNTS"]
    size = int(re.search(r"PAGE = (\d+);", MODULES["board.js"])[1])  # type: ignore[index]
    prepared = Documents(build_core_schema(), Limits()).get_operation(document, None)

    async with open_client(harness) as client:
        page = {"first": size, "providers": ["LIGHT"], "aged": True}
        first = await client.data(document, {"asOf": None, "after": None, **page})
        cursor = first["bankAccounts"]["pageInfo"]["endCursor"]
        second = await client.data(document, {"asOf": "2026-01-31", "after": cursor, **page})

    assert prepared.cost.total({"first": size}) <= Limits().cost_graphql_core
    assert len(first["bankAccounts"]["nodes"]) == size
    assert len(second["bankAccounts"]["nodes"]) == 30
    assert second["bankAccounts"]["nodes"][0]["balance"]["asOf"] == "2026-01-31"


def test_scripts_pass_the_type_checker():
    """``npm ci`` in tests/web/typescript installs it; ``.ci/run`` does."""
    compiler = os.environ.get("BALANCE_GATEWAY_TSC") or shutil.which(
        "tsc", path=str(TYPESCRIPT / "node_modules" / ".bin")
    )
    if compiler is None:
        pytest.skip("no TypeScript: npm ci --ignore-scripts --prefix tests/web/typescript")
    done = subprocess.run(
        [compiler, "-p", str(TYPESCRIPT)], capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stdout) == (0, "")

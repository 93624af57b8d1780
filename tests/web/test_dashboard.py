"""The dashboard page: static, self-contained, and safe against injected HTML."""

import re
from pathlib import Path

import pytest

from balance_gateway.api.execution.documents import Documents
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.web import dashboard
from tests.api.fakes import GatewayHarness, account, open_client

STATIC = Path(dashboard.__file__).parent / "static"
SCRIPT = (STATIC / "dashboard.js").read_text()
QUERY = re.search(r"const QUERY = `(.*?)`;", SCRIPT, re.DOTALL)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/", "text/html"), ("/dashboard.js", "text/javascript"), ("/money.js", "text/javascript"),
     ("/dashboard.css", "text/css"), ("/favicon.svg", "image/svg+xml")],
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
        for path in ("/dashboard.py", "/static/index.html", "/..%2fapp.py", "/nothing"):
            assert (await client.http.get(path)).status_code == 404


def test_page_has_no_external_and_no_inline_resources():
    page = (STATIC / "index.html").read_text()

    assert "http" not in page.replace("http-equiv", "")
    assert "style=" not in page
    assert " on" not in re.sub(r"[^<]*<", "<", page).replace(" only", "")
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]


def test_scripts_write_no_html_and_parse_no_amounts():
    scripts = SCRIPT + (STATIC / "money.js").read_text()

    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "parseFloat", "parseInt", "Number(", "localStorage"):  # fmt: skip
        assert forbidden not in scripts


def test_every_control_has_a_label_and_every_column_a_header():
    page = (STATIC / "index.html").read_text()

    for control in re.findall(r'<input id="([^"]+)"', page):
        labelled = f'for="{control}"' in page
        wrapped = re.search(rf'<label[^>]*>[^<]*<input id="{control}"', page)
        assert labelled or wrapped, control
    assert page.count('<th scope="col"') == 8
    assert '<html lang="en">' in page


async def test_its_query_succeeds_within_the_cost_limit():
    harness = GatewayHarness([account(f"a{n:03}") for n in range(230)])
    prepared = Documents(build_core_schema(), Limits()).get_operation(QUERY, None)

    async with open_client(harness) as client:
        first = await client.data(
            QUERY, {"asOf": None, "after": None, "first": 200, "summary": True}
        )
        cursor = first["bankAccounts"]["pageInfo"]["endCursor"]
        second = await client.data(
            QUERY, {"asOf": "2026-01-31", "after": cursor, "first": 200, "summary": False}
        )

    assert prepared.cost.total({"first": 200, "summary": True}) <= Limits().cost_graphql_core
    assert len(first["bankAccounts"]["nodes"]) == 200
    assert len(second["bankAccounts"]["nodes"]) == 30
    assert second["bankAccounts"]["nodes"][0]["balance"]["asOf"] == "2026-01-31"

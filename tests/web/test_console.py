"""The query console: static, self-contained, safe with keys and responses, with valid queries."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from graphql import build_schema
from prometheus_client import CollectorRegistry

from balance_gateway.api.execution.engine import Engine
from balance_gateway.web import console
from balance_gateway.web.auth import ApiKeys
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.routes import build_web_app
from tests.api.fakes import READ, Client, GatewayHarness, api_keys, run_server
from tests.http_clients import WITHOUT_TLS

STATIC = Path(console.__file__).parent / "static"
PAGE = (STATIC / "console.html").read_text()
SCRIPT = (STATIC / "console.js").read_text()
SCHEMA_SCRIPT = (STATIC / "console_schema.js").read_text()
FILES = {
    "/graphiql": "text/html",
    "/graphiql.js": "text/javascript",
    "/graphiql-schema.js": "text/javascript",
    "/graphiql.css": "text/css",
}
NODE = shutil.which("node")


@asynccontextmanager
async def serve(*, on: bool = True, dashboard: bool = True) -> AsyncIterator[Client]:
    app = build_web_app(
        graphql=GraphQLEndpoint(Engine(GatewayHarness().gateway), ApiKeys(api_keys())),
        operations=HealthEndpoints(checks={}, registry=CollectorRegistry()),
        dashboard=dashboard,
        console=on,
    )
    async with (
        run_server(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=WITHOUT_TLS) as http,
    ):
        yield Client(http)


@pytest.mark.parametrize("dashboard", [True, False])
async def test_every_file_has_a_strict_security_policy(dashboard):
    async with serve(dashboard=dashboard) as client:
        for path, media_type in FILES.items():
            response = await client.http.get(path)

            assert response.status_code == 200
            assert response.headers["content-type"].startswith(media_type)
            policy = response.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"


async def test_console_is_not_served_when_it_is_disabled():
    async with serve(on=False) as client:
        for path in FILES:
            assert (await client.http.get(path)).status_code == 404


def test_page_has_no_external_and_no_inline_resources():
    for text in (PAGE, SCRIPT, SCHEMA_SCRIPT, (STATIC / "console.css").read_text()):
        assert "//" not in re.sub(r"^// .*$", "", text, flags=re.MULTILINE).replace("; // ", "; ")
    assert "style=" not in PAGE
    assert not re.search(r"<[^>]* on\w+=", PAGE)
    assert re.findall(r"<script[^>]*>(.*?)</script>", PAGE, re.DOTALL) == [""]


def test_scripts_write_no_html_and_store_the_key_in_the_tab_only():
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "Function(", "localStorage", "document.cookie", "location"):  # fmt: skip
        assert forbidden not in SCRIPT + SCHEMA_SCRIPT
    assert "sessionStorage" in SCRIPT
    assert 'id="key" type="password"' in PAGE


def test_every_control_has_a_label():
    controls = re.findall(r'<(?:input|textarea) id="([^"]+)"', PAGE)

    assert controls == ["key", "query", "variables"]
    assert all(f'for="{control}"' in PAGE for control in controls)


def test_script_uses_exactly_the_elements_of_the_page():
    used = set(re.findall(r'\$\("([^"]+)"\)', SCRIPT))

    assert used == set(re.findall(r' id="([^"]+)"', PAGE)) - {"answer-title"}


async def test_its_initial_query_succeeds():
    query = re.search(r"const FIRST = `(.*?)`;", SCRIPT, re.DOTALL)[1]  # type: ignore[index]
    async with serve() as client:
        data = await client.data(query)

    assert len(data["bankAccounts"]["nodes"]) == 5


def run_in_node(script: str, *scripts: str) -> str:
    """Return the output of a script that runs after the given ones, without their imports."""
    prelude = re.sub(r"^import .*$|^export ", "", "\n".join(scripts), flags=re.MULTILINE)
    done = subprocess.run(
        [str(NODE), "-"],
        input=f"{prelude}\n{script}",  # An argument may be too long.
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(NODE is None, reason="needs node")
async def test_displayed_schema_is_the_schema_of_the_gateway():
    introspection = run_in_node("console.log(INTROSPECTION)", SCHEMA_SCRIPT)
    async with serve() as client:
        data = await client.data(introspection)
    shown = run_in_node(f"console.log(schemaText({json.dumps(data['__schema'])}))", SCHEMA_SCRIPT)

    assert shown.startswith(("#", "type Query"))
    types = build_schema(shown, assume_valid_sdl=True).type_map
    for wanted in data["__schema"]["types"]:
        assert wanted["name"] in types
        fields = {field["name"] for field in wanted["fields"] or wanted["inputFields"] or ()}
        assert fields <= set(getattr(types[wanted["name"]], "fields", {}))


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"a":1}', '{\n  "a": 1\n}'),
        ('{"a":[],"b":{},"c":[1,{"d":null}]}',
         '{\n  "a": [],\n  "b": {},\n  "c": [\n    1,\n    {\n      "d": null\n    }\n  ]\n}'),
        ('{"minorUnits":9223372036854775807}', '{\n  "minorUnits": 9223372036854775807\n}'),
        (r'{"a":"x, {y}: \" [z]\\"}', '{\n  "a": "x, {y}: \\" [z]\\\\"\n}'),
    ],
)  # fmt: skip
def test_a_response_is_indented_without_rounding_its_numbers(given, expected):
    pretty = re.search(r"^function pretty.*?^}", SCRIPT, re.DOTALL | re.MULTILINE)[0]  # type: ignore[index]

    shown = run_in_node(f"process.stdout.write(pretty({json.dumps(given)}))", pretty)

    assert shown == expected


BROWSER = """
const elements = {};
const $of = (id) => elements[id] ??= { value: "", textContent: "", className: "", on: {},
  addEventListener(name, does) { this.on[name] = does; } };
globalThis.document = { getElementById: $of, on: {},
  addEventListener(name, does) { this.on[name] = does; } };
const stored = {};
globalThis.sessionStorage = {
  getItem: (k) => stored[k] ?? null, setItem: (k, v) => { stored[k] = v; } };
globalThis.performance = { now: () => 0 };
const sent = [];
let answered = '{"data":{"x":90071992547409931}}';
globalThis.fetch = async (url, request) => {
  sent.push([url, request]);
  return { ok: true, status: 200, text: async () => answered };
};
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_it_sends_the_query_with_the_key_and_shows_the_response():
    steps = f"""
    $of("key").value = " {READ} "; $of("key").on.input();
    $of("query").value = "query Q($n: X) {{ x }}";
    $of("variables").value = '{{"n": 9223372036854775807}}';
    const pressed = {{ key: "Enter", ctrlKey: true, preventDefault() {{}} }};
    document.on.keydown(pressed);
    document.on.keydown(pressed);
    setTimeout(() => {{
      const [[url, request], ...more] = sent;
      const shown = [more.length, url, request.method, request.headers.Authorization, request.body,
        $of("answer").textContent, $of("status").textContent, Object.values(stored)];
      console.log(JSON.stringify(shown));
    }}, 0);
    """
    shown = json.loads(run_in_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert shown == [
        0,
        "graphql",
        "POST",
        f"Bearer {READ}",
        '{"query":"query Q($n: X) { x }","variables":{"n": 9223372036854775807}}',
        '{\n  "data": {\n    "x": 90071992547409931\n  }\n}',
        "200 · 0 ms",
        [READ],
    ]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_variables_that_are_not_json_are_not_sent():
    steps = """
    $of("variables").value = '{"n": 1}, "query": "x"';
    $of("request").on.submit({ preventDefault() {} });
    setTimeout(() => console.log(JSON.stringify([sent.length, $of("answer").textContent])), 0);
    """
    shown = json.loads(run_in_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert shown[0] == 0
    assert "not JSON" in shown[1]


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("answered", "shown"),
    [
        ("<html>502 Bad Gateway", "<html>502 Bad Gateway"),
        ('{"errors":[]}', '{\n  "errors": []\n}'),
        ("", ""),
    ],
)
def test_an_invalid_response_is_shown_unchanged_and_marked(answered, shown):
    steps = f"""
    answered = {json.dumps(answered)};
    $of("request").on.submit({{ preventDefault() {{}} }});
    const state = () => [$of("answer").textContent, $of("status").className, $of("run").disabled];
    setTimeout(() => console.log(JSON.stringify(state())), 0);
    """
    state = json.loads(run_in_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert state == [shown, "bad", False]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_schema_link_shows_the_schema():
    steps = """
    const type = { kind: "ENUM", name: "Side", enumValues: [{ name: "DEBIT" }] };
    answered = JSON.stringify({ data: { __schema: { types: [type] } } });
    $of("schema").on.click({ preventDefault() {} });
    setTimeout(() => console.log($of("answer").textContent), 0);
    """
    assert run_in_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT).strip() == "enum Side {\n  DEBIT\n}"

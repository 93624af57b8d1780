"""The query console: static, self-contained, careful with key and answer, and its queries work."""

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
from tests.api.fakes import READ, Client, World, api_keys, served

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
async def serving(*, on: bool = True, dashboard: bool = True) -> AsyncIterator[Client]:
    app = build_web_app(
        graphql=GraphQLEndpoint(Engine(World().gateway), ApiKeys(api_keys())),
        operations=HealthEndpoints(checks={}, registry=CollectorRegistry()),
        dashboard=dashboard,
        console=on,
    )
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
    ):
        yield Client(http)


@pytest.mark.parametrize("dashboard", [True, False])
async def test_every_file_is_served_under_the_strict_policy(dashboard):
    async with serving(dashboard=dashboard) as client:
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


async def test_switched_off_there_is_nothing():
    async with serving(on=False) as client:
        for path in FILES:
            assert (await client.http.get(path)).status_code == 404


def test_nothing_comes_from_elsewhere_and_nothing_is_inline():
    for text in (PAGE, SCRIPT, SCHEMA_SCRIPT, (STATIC / "console.css").read_text()):
        assert "//" not in re.sub(r"^// .*$", "", text, flags=re.MULTILINE).replace("; // ", "; ")
    assert "style=" not in PAGE
    assert not re.search(r"<[^>]* on\w+=", PAGE)
    assert re.findall(r"<script[^>]*>(.*?)</script>", PAGE, re.DOTALL) == [""]


def test_text_is_set_as_text_and_the_key_stays_in_the_tab():
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "Function(", "localStorage", "document.cookie", "location"):  # fmt: skip
        assert forbidden not in SCRIPT + SCHEMA_SCRIPT
    assert "sessionStorage" in SCRIPT
    assert 'id="key" type="password"' in PAGE


def test_every_control_has_a_label():
    controls = re.findall(r'<(?:input|textarea) id="([^"]+)"', PAGE)

    assert controls == ["key", "query", "variables"]
    assert all(f'for="{control}"' in PAGE for control in controls)


def test_the_script_asks_for_elements_that_are_there():
    asked = set(re.findall(r'\$\("([^"]+)"\)', SCRIPT))

    assert asked == set(re.findall(r' id="([^"]+)"', PAGE)) - {"answer-title"}


async def test_its_first_query_is_answered():
    query = re.search(r"const FIRST = `(.*?)`;", SCRIPT, re.DOTALL)[1]  # type: ignore[index]
    async with serving() as client:
        data = await client.data(query)

    assert len(data["bankAccounts"]["nodes"]) == 5


def from_node(script: str, *scripts: str) -> str:
    """What a script prints that comes after our own ones, with their imports taken out."""
    own = re.sub(r"^import .*$|^export ", "", "\n".join(scripts), flags=re.MULTILINE)
    done = subprocess.run(
        [str(NODE), "-e", f"{own}\n{script}"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(NODE is None, reason="needs node")
async def test_the_schema_it_shows_is_the_gateway_s():
    introspection = from_node("console.log(INTROSPECTION)", SCHEMA_SCRIPT)
    async with serving() as client:
        data = await client.data(introspection)
    shown = from_node(f"console.log(schemaText({json.dumps(data['__schema'])}))", SCHEMA_SCRIPT)

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
def test_an_answer_is_indented_and_its_numbers_stay_as_they_came(given, expected):
    pretty = re.search(r"^function pretty.*?^}", SCRIPT, re.DOTALL | re.MULTILINE)[0]  # type: ignore[index]

    shown = from_node(f"process.stdout.write(pretty({json.dumps(given)}))", pretty)

    assert shown == expected


BROWSER = """
const elements = {};
const $of = (id) => elements[id] ??= { value: "", textContent: "", className: "", on: {},
  addEventListener(name, does) { this.on[name] = does; } };
globalThis.document = { getElementById: $of, on: {},
  addEventListener(name, does) { this.on[name] = does; } };
const kept = {};
globalThis.sessionStorage = {
  getItem: (k) => kept[k] ?? null, setItem: (k, v) => { kept[k] = v; } };
globalThis.performance = { now: () => 0 };
const sent = [];
let answered = '{"data":{"x":90071992547409931}}';
globalThis.fetch = async (url, request) => {
  sent.push([url, request]);
  return { ok: true, status: 200, text: async () => answered };
};
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_it_sends_what_is_typed_with_the_key_and_shows_the_answer():
    steps = f"""
    $of("key").value = " {READ} "; $of("key").on.input();
    $of("query").value = "query Q($n: X) {{ x }}";
    $of("variables").value = '{{"n": 9223372036854775807}}';
    const pressed = {{ key: "Enter", ctrlKey: true, preventDefault() {{}} }};
    document.on.keydown(pressed);
    document.on.keydown(pressed);
    setTimeout(() => {{
      const [[url, request], ...more] = sent;
      const told = [more.length, url, request.method, request.headers.Authorization, request.body,
        $of("answer").textContent, $of("status").textContent, Object.values(kept)];
      console.log(JSON.stringify(told));
    }}, 0);
    """
    told = json.loads(from_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert told == [
        0,
        "/graphql",
        "POST",
        f"Bearer {READ}",
        '{"query":"query Q($n: X) { x }","variables":{"n": 9223372036854775807}}',
        '{\n  "data": {\n    "x": 90071992547409931\n  }\n}',
        "200 · 0 ms",
        [READ],
    ]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_variables_that_are_no_json_are_not_sent():
    steps = """
    $of("variables").value = '{"n": 1}, "query": "x"';
    $of("request").on.submit({ preventDefault() {} });
    setTimeout(() => console.log(JSON.stringify([sent.length, $of("answer").textContent])), 0);
    """
    told = json.loads(from_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert told[0] == 0
    assert "not JSON" in told[1]


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("answered", "shown"),
    [
        ("<html>502 Bad Gateway", "<html>502 Bad Gateway"),
        ('{"errors":[]}', '{\n  "errors": []\n}'),
        ("", ""),
    ],
)
def test_an_answer_that_is_none_is_shown_as_it_came_and_marked(answered, shown):
    steps = f"""
    answered = {json.dumps(answered)};
    $of("request").on.submit({{ preventDefault() {{}} }});
    const told = () => [$of("answer").textContent, $of("status").className, $of("run").disabled];
    setTimeout(() => console.log(JSON.stringify(told())), 0);
    """
    told = json.loads(from_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT))

    assert told == [shown, "bad", False]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_schema_link_shows_the_schema():
    steps = """
    const type = { kind: "ENUM", name: "Side", enumValues: [{ name: "DEBIT" }] };
    answered = JSON.stringify({ data: { __schema: { types: [type] } } });
    $of("schema").on.click({ preventDefault() {} });
    setTimeout(() => console.log($of("answer").textContent), 0);
    """
    assert from_node(steps, BROWSER, SCHEMA_SCRIPT, SCRIPT).strip() == "enum Side {\n  DEBIT\n}"

"""Paths: trailing slashes, the root path, and the headers of every response."""

import re
from pathlib import Path

import pytest

from balance_gateway.web import dashboard
from tests.api.fakes import READ, GatewayHarness, open_client

AUTH = {"Authorization": f"Bearer {READ}"}
PATHS = (
    "/graphql",
    "/healthz",
    "/readyz",
    "/metrics",
    "/",
    "/page/main.js",
    "/nothing",
    "/metrics/x",
)


@pytest.mark.parametrize("root", ["", "/balances", "/a/b.c"])
async def test_a_path_with_a_slash_is_never_redirected(harness: GatewayHarness, root: str):
    """A redirect to http://<Host>/graphql left TLS, for any Host that a caller sent."""
    async with open_client(harness, root_path=root or "/balances") as client:
        client.http.headers["Host"] = "evil.example"
        posted = await client.http.post(
            f"{root}/graphql/", json={"query": "{ __typename }"}, headers=AUTH
        )
        probes = [
            (await client.http.get(f"{root}{path}/")).status_code
            for path in ("/healthz", "/readyz", "/metrics", "/page/main.js", "/nothing")
        ]

    assert posted.json() == {"data": {"__typename": "Query"}}
    assert probes == [200, 200, 200, 404, 404]


async def test_everything_is_served_below_the_root_path_too(harness: GatewayHarness):
    async with open_client(harness, root_path="/balances") as client:
        for path in ("/", "/healthz", "/readyz", "/metrics", "/page/page.css", "/page/credential"):
            for root in ("", "/balances"):
                assert (await client.http.get(root + path)).status_code == 200
        for root in ("", "/balances"):
            asked = await client.http.get(
                f"{root}/graphql", params={"query": "{ __typename }"}, headers=AUTH
            )
            assert asked.json() == {"data": {"__typename": "Query"}}
        for path in ("/balancesgraphql", "/balances/balances/graphql", "/other/graphql"):
            assert (await client.http.get(path, headers=AUTH)).status_code == 404


async def test_the_root_path_leads_to_its_page_on_the_same_host(harness: GatewayHarness):
    """The page's relative URLs need the slash; the Location must not repeat a Host header."""
    async with open_client(harness, root_path="/balances") as client:
        response = await client.http.get("/balances", headers={"Host": "evil.example"})

    assert (response.status_code, response.headers["location"]) == (307, "/balances/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
async def test_every_response_forbids_sniffing(harness: GatewayHarness, path: str, method: str):
    async with open_client(harness, metrics_key="k") as client:
        response = await client.http.request(method, path)

    assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def list_pages() -> list[Path]:
    static = Path(dashboard.__file__).parent / "static"
    return sorted(path for path in static.rglob("*") if path.suffix in (".html", ".js"))


@pytest.mark.parametrize("path", list_pages(), ids=lambda path: path.name)
def test_pages_have_relative_urls_only(path: Path):
    """Behind a prefix the page asked for /dashboard.css and /graphql of another application."""
    text = path.read_text()
    urls = re.findall(
        r"""(?:href|src)=["']([^"']+)|(?:fetch\(|send\(|from )["'`]([^"'`?]+)""", text
    )

    for url in ("".join(found) for found in urls):
        assert url.startswith("./") or re.fullmatch(r"[a-z#][a-z_/.-]*", url), url
    if path.name in ("index.html", "main.js", "api.js", "console.html"):
        assert urls

"""The alert rules and the dashboard ask for what /metrics shows, and the alerts fire when meant."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from balance_gateway.app.configuration import read_settings
from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import Settings
from balance_gateway.service.opening_balances import Applied, Uncertain
from balance_gateway_sandbox import build_catalogue
from tests.app.conftest import sandbox_server  # noqa: F401 - pytest finds fixtures by their names
from tests.app.gateway_harness import (
    ADMIN,
    AdvancingClock,
    GatewayHarness,
    SandboxClient,
    run_gateway,
    with_cache,
)

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
#: Set by Prometheus for each target and each series of a histogram.
SET_BY_PROMETHEUS = {"job", "instance"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def list_panel_queries() -> dict[str, str]:
    """Return the queries of the dashboard, by panel and place."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }


QUERIES = {rule["alert"]: rule["expr"] for rule in RULES} | list_panel_queries()


@dataclass
class Exposed:
    """What /metrics has shown: every name, and the values of each label of a name."""

    names: set[str] = field(default_factory=set)
    labels: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line)
            assert found, line
            self.names.add(found[1])
            for label, value in re.findall(r'(\w+)="([^"]*)"', found[2] or ""):
                self.labels.setdefault(found[1], {}).setdefault(label, set()).add(value)


async def collect(config: Path, sandbox: SandboxClient) -> Exposed:
    """Let a gateway do what each metric counts, and scrape it."""
    exposed, clock = Exposed(), AdvancingClock()
    settings = with_cache(read_settings(config), today_ttl_s=1)

    def refuse() -> Settings:
        raise ConfigError("wrong")

    async with run_gateway(settings, clock, refuse) as gateway:
        kept, other = gateway.list_accounts("light-acme")[1:3]
        await gateway.read(kept, is_today=True)
        await write_and_settle(gateway, sandbox)
        await ask(gateway, "{ __schema { queryType { name } } }", gateway.key)
        await ask(gateway, "{ viewer { name } }", "wrong")
        assert await gateway.send_delayed_request() == 503
        sandbox.inject_fault("status", provider="light", status=401)
        clock.advance(60)
        # The first has a stale value, the other has none.
        await gateway.read(kept, other, is_today=True)
        await gateway.reload()
        exposed.add((await gateway.client.get("/metrics")).text)
    return exposed


async def write_and_settle(gateway: GatewayHarness, sandbox: SandboxClient) -> None:
    assert isinstance(await gateway.write(70_000), Applied)
    sandbox.inject_fault("drop_before", provider="light", method="PUT", times=1)
    lost = await gateway.write(80_000)
    assert isinstance(lost, Uncertain)
    reconciler = gateway.components.gateway.reconciler
    await reconciler.settle_by_hand(ADMIN, lost.write_id, applied=False, note="Seen there.")


async def ask(gateway: GatewayHarness, query: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    await gateway.client.post("/graphql", json={"query": query}, headers=headers)


@pytest.fixture(scope="module")
def exposed(
    sandbox_server: SandboxClient,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Exposed:
    sandbox_server.control("POST", "reset")
    files = write_demo_files(
        tmp_path_factory.mktemp("gateway"), build_catalogue(1), sandbox_server.url
    )
    return asyncio.run(collect(files.config_path, sandbox_server))


def list_selectors(query: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each series that a query selects, with the matchers of its labels."""
    for name, matchers in re.findall(r"\b(up|balance_gateway_\w+)(?:\{([^}]*)\})?", query):
        yield name, re.findall(r'(\w+)(=~|!=|=|!~)"([^"]*)"', matchers)


@pytest.mark.parametrize("place", QUERIES)
def test_query_asks_for_series_that_the_gateway_exposes(place: str, exposed: Exposed) -> None:
    query = QUERIES[place]
    selected = list(list_selectors(query))
    assert selected, query
    for name, matchers in selected:
        if name == "up":
            continue
        assert name in exposed.names, f"/metrics has no {name}"
        labels = exposed.labels.get(name, {})
        for label, operator, value in matchers:
            assert label in labels, f"{name} has no label {label}"
            if operator == "=":
                assert value in labels[label], f"{name} has no {label}={value!r}"
            elif operator == "=~":
                assert any(re.fullmatch(value, one) for one in labels[label])
    grouped = {
        label.strip() for each in re.findall(r"by \(([^)]*)\)", query) for label in each.split(",")
    }
    known = {label for name, _ in selected for label in exposed.labels.get(name, {})}
    assert grouped <= known


@pytest.mark.parametrize("place", QUERIES)
def test_texts_use_only_labels_of_their_query(place: str) -> None:
    """A label that was summed away would be an empty word in the text."""
    rule = next((one for one in RULES if one["alert"] == place), None)
    texts = [*rule["annotations"].values()] if rule else []
    texts += [
        target["legendFormat"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        if f"{panel['title']} {target['refId']}" == place
    ]
    used = set(re.findall(r"\$labels\.(\w+)|\{\{(\w+)\}\}", " ".join(texts)))
    grouped = re.search(r"by \(([^)]*)\)", QUERIES[place])
    kept = {one.strip() for one in grouped[1].split(",")} if grouped else SET_BY_PROMETHEUS

    assert {one or other for one, other in used} <= kept


def test_every_alert_says_what_to_do_and_is_tested_both_ways() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    names = [test["name"] for test in tests]

    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert f"{rule['alert']} fires" in names
        assert any(name.startswith(f"{rule['alert']} does not fire: ") for name in names)


def run_promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "alerts.yml"),
        ("check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml"),
        ("test", "rules", PROMETHEUS / "alerts_test.yml"),
    ],
    ids=["rules", "configuration", "alerts"],
)
def test_promtool_accepts_the_files(arguments: tuple[object, ...]) -> None:
    done = run_promtool(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alert_tests_notice_a_rule_that_fires_too_early(tmp_path: Path) -> None:
    text = (PROMETHEUS / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(re.sub(r"\n +for: \w+", "", text))
    shutil.copy(PROMETHEUS / "alerts_test.yml", tmp_path)

    done = run_promtool("test", "rules", tmp_path / "alerts_test.yml")

    assert done.returncode != 0
    assert "BalanceGatewayStale" in done.stderr + done.stdout


@needs_promtool
def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query}
        for number, query in enumerate(list_panel_queries().values())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = run_promtool("check", "rules", path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])

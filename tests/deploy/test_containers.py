"""The image and the replicas on one machine: their names, ports and times are the product's."""

import fnmatch
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from balance_gateway import __version__
from balance_gateway.cli import main
from balance_gateway.config.settings import Settings
from balance_gateway.server.draining import IDLE_GRACE_S
from balance_gateway.web.graphql import EndpointLimits
from tests.deploy.deploy_files import (
    DEPLOY,
    ROOT,
    compute_drain_s,
    find_command,
    list_secret_paths,
    read_config,
    read_yaml,
)

DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8")
NGINX = (DEPLOY / "compose" / "nginx.conf").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = read_yaml("compose/compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REPLICAS = [name for name, service in SERVICES.items() if service.get("command") == ["serve"]]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_config(DEPLOY / "compose" / "gateway.toml", tmp_path)


def test_image_is_built_in_two_stages_on_one_exact_base() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)

    assert len(bases) == 2
    assert len(set(bases)) == 1
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-bookworm", bases[0])
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]


def test_image_is_built_from_files_that_exist_and_are_sent() -> None:
    ignored = (DEPLOY / "container" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    names = [name for line in copied for name in line.split()]

    assert {"src", "pyproject.toml"} <= set(names)
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    assert ignored[0] == "*"
    assert not any(fnmatch.fnmatch(".git", line.lstrip("!")) for line in ignored[1:])
    (extra,) = re.findall(r'"\.\[(\w+)\]"', DOCKERFILE)
    assert extra in PROJECT["optional-dependencies"]


def test_image_runs_the_command_without_root() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.M)
    (command,) = re.findall(r"^CMD \[(.+)\]$", DOCKERFILE, re.M)
    (entry,) = re.findall(r"^ENTRYPOINT \[(.+)\]$", DOCKERFILE, re.M)

    assert "0" not in user
    assert entry == '"balance-gateway"'
    assert find_command(main, shlex.split(command)) == []
    assert "balance-gateway" in PROJECT["scripts"]
    # The last stage's user is the one that the process has.
    assert DOCKERFILE.rindex("USER ") > DOCKERFILE.rindex("FROM ")


def test_ports_of_the_image_are_those_of_the_configuration(settings: Settings) -> None:
    (exposed,) = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.M)
    metrics_host, metrics_port = settings.server.metrics_address.split(":")

    assert exposed.split() == [str(settings.server.port), metrics_port]
    assert (settings.server.host, metrics_host) == ("0.0.0.0", "0.0.0.0")
    assert f"http://127.0.0.1:{settings.server.port}/healthz" in DOCKERFILE


def test_two_replicas_share_storage_and_cache(settings: Settings) -> None:
    assert REPLICAS == ["gateway-1", "gateway-2"]
    storage, cache = settings.storage.url.reveal(), settings.cache.url.reveal()
    assert storage.startswith("postgresql://")
    assert re.fullmatch(r"redis://(\w[\w-]*):6379/0", cache)[1] in SERVICES
    assert "postgres" in SERVICES
    assert [str(each) for each in settings.server.trusted_proxies] == [
        COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    ]


@pytest.mark.parametrize("name", [*REPLICAS, "migrate"])
def test_gateway_service_is_confined_and_has_its_files(name: str) -> None:
    service = SERVICES[name]
    secrets = {Path(one).name for one in list_secret_paths(DEPLOY / "compose" / "gateway.toml")}

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["image"] == f"balance-gateway:{__version__}"
    assert (DEPLOY / "compose" / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert set(service["secrets"]) == secrets
    assert find_command(main, service["command"]) == []
    (config,) = re.findall(r"BALANCE_GATEWAY_CONFIG=(\S+)", DOCKERFILE)
    assert f"./gateway.toml:{config}:ro" in service["volumes"]
    (pid_file,) = re.findall(r"BALANCE_GATEWAY_PID_FILE=(\S+)", DOCKERFILE)
    assert str(Path(pid_file).parent) in service["tmpfs"]


def test_replicas_have_the_time_to_drain(settings: Settings) -> None:
    for name in REPLICAS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= compute_drain_s(
            settings
        )


@pytest.mark.parametrize("name", SERVICES)
def test_service_refers_to_what_is_defined(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-\w+)?", service["image"]), "an exact tag"
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / "compose" / source).is_file(), source
        else:
            assert source in COMPOSE["volumes"]


def test_every_defined_secret_is_used_and_is_a_file() -> None:
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}

    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    environment = [(service.get("environment") or {}).items() for service in SERVICES.values()]
    for _, value in (pair for pairs in environment for pair in pairs):
        if value.startswith("/run/secrets/"):
            assert Path(value).name in COMPOSE["secrets"]


def test_proxy_and_prometheus_reach_every_replica(settings: Settings) -> None:
    upstream = re.findall(r"^ +server ([\w-]+:\d+) ", NGINX, re.M)
    (scrape,) = read_yaml("prometheus/prometheus.yml")["scrape_configs"]
    metrics_port = settings.server.metrics_address.split(":")[1]

    assert upstream == [f"{name}:{settings.server.port}" for name in REPLICAS]
    assert scrape["static_configs"] == [
        {"targets": [f"{name}:{metrics_port}" for name in REPLICAS]}
    ]


def read_nginx(name: str) -> str:
    (value,) = re.findall(rf"^ +{name} (\w+);", NGINX, re.M)
    return str(value)


def test_proxy_keeps_the_limits_of_the_gateway(settings: Settings) -> None:
    assert int(read_nginx("keepalive_timeout").removesuffix("s")) < IDLE_GRACE_S
    assert (
        int(read_nginx("client_max_body_size").removesuffix("m")) * 2**20
        == EndpointLimits().body_bytes
    )
    read_s = int(read_nginx("proxy_read_timeout").removesuffix("s"))
    assert read_s > settings.server.request_timeout_s
    # A request whose write may have arrived is never sent to the other replica.
    assert read_nginx("proxy_next_upstream") == "error"
    assert "non_idempotent" not in NGINX
    assert NGINX.count("{") == NGINX.count("}")
    secrets = set(re.findall(r"/run/secrets/(\w+)", NGINX))
    assert secrets == set(SERVICES["proxy"]["secrets"])


def test_dashboard_is_mounted_where_grafana_looks_for_it() -> None:
    (provider,) = read_yaml("grafana/dashboards.yml")["providers"]
    (source,) = read_yaml("grafana/datasource.yml")["datasources"]
    targets = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]

    assert any(target.startswith(f"{provider['options']['path']}/") for target in targets)
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES

"""The manifests: they fit together, and their ports, probes and times are the product's."""

import re
from pathlib import Path
from typing import Any

import pytest

from balance_gateway import __version__
from balance_gateway.cli import main
from balance_gateway.config.settings import Settings
from tests.deploy.deploy_files import (
    DEPLOY,
    ROOT,
    compute_drain_s,
    find_command,
    list_secret_paths,
    read_config,
    read_yaml,
)

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = read_yaml("kubernetes/kustomization.yaml")
MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest
    for name in KUSTOMIZATION["resources"]
    if (manifest := read_yaml(f"kubernetes/{name}"))
}
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
PODS = {
    "serve": DEPLOYMENT["template"]["spec"],
    "migrate": MANIFESTS["Job"]["spec"]["template"]["spec"],
}
(GATEWAY,) = PODS["serve"]["containers"]
PORTS = {one["name"]: one["containerPort"] for one in GATEWAY["ports"]}
DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_config(FOLDER / "gateway.toml", tmp_path)


def test_every_file_is_part_of_the_kustomization() -> None:
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    listed = {"kustomization.yaml", *KUSTOMIZATION["resources"], *generator["files"]}
    (image,) = KUSTOMIZATION["images"]

    assert {path.name for path in FOLDER.iterdir()} == listed
    assert image == {"name": GATEWAY["image"], "newTag": __version__}
    assert len(MANIFESTS) == len(KUSTOMIZATION["resources"])
    for manifest in MANIFESTS.values():
        assert manifest["metadata"]["name"].startswith("balance-gateway")


def test_replicas_can_share_the_configuration(settings: Settings) -> None:
    metrics_host, metrics_port = settings.server.metrics_address.split(":")

    assert DEPLOYMENT["replicas"] == 2
    assert settings.storage.url.reveal().startswith("postgresql://")
    assert settings.cache.url.reveal().startswith("rediss://")
    assert (settings.server.host, metrics_host) == ("0.0.0.0", "0.0.0.0")
    assert {"http": settings.server.port, "metrics": int(metrics_port)} == PORTS
    annotations = DEPLOYMENT["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == metrics_port


@pytest.mark.parametrize("name", PODS)
def test_pod_runs_a_command_without_any_right(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.M)

    assert find_command(main, container["args"]) == []
    assert container["args"][0] == name
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == MANIFESTS["ServiceAccount"]["metadata"]["name"]
    assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("name", PODS)
def test_pod_mounts_the_configuration_and_secrets_as_files(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    (config,) = re.findall(r"BALANCE_GATEWAY_CONFIG=(\S+)", DOCKERFILE)
    (generator,) = KUSTOMIZATION["configMapGenerator"]

    assert set(mounts) == set(volumes)
    assert f"{mounts['config']}/{generator['files'][0]}" == config
    assert volumes["config"]["configMap"] == {"name": generator["name"]}
    assert {str(Path(one).parent) for one in list_secret_paths(FOLDER / "gateway.toml")} == {
        mounts["secrets"]
    }
    # In YAML 0440 is the octal number, which the group of the process may read.
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
    assert "env" not in container


def test_migration_has_the_secrets_of_the_owner() -> None:
    secrets = {
        name: next(one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one)
        for name, pod in PODS.items()
    }
    instructions = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")

    assert secrets == {"serve": "balance-gateway", "migrate": "balance-gateway-migrate"}
    for name in secrets.values():
        assert f"create secret generic {name} --from-file=" in instructions
    assert f"namespace {KUSTOMIZATION['namespace']}\n" in instructions


def test_pod_has_the_time_to_drain_after_its_pre_stop(settings: Settings) -> None:
    program, pause_s = GATEWAY["lifecycle"]["preStop"]["exec"]["command"]

    assert program == "sleep"
    left_s = PODS["serve"]["terminationGracePeriodSeconds"] - int(pause_s)
    assert left_s >= 60, "what the operations page asks of a supervisor"
    assert left_s >= compute_drain_s(settings)


def test_probes_ask_for_endpoints_that_are_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    probes = {
        name: GATEWAY[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    }

    assert {name: one["path"] for name, one in probes.items()} == {
        "startup": "/healthz",
        "readiness": "/readyz",
        "liveness": "/healthz",
    }
    for probe in probes.values():
        assert probe["port"] in PORTS
        assert f"| `{probe['path']}` | no |" in operations


def test_selectors_find_the_pods_that_serve_and_no_others() -> None:
    serving = DEPLOYMENT["template"]["metadata"]["labels"]
    migrating = MANIFESTS["Job"]["spec"]["template"]["metadata"]["labels"]
    (spread,) = PODS["serve"]["topologySpreadConstraints"]
    selectors = [
        DEPLOYMENT["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
    ]

    for selector in selectors:
        assert selector.items() <= serving.items()
        assert not selector.items() <= migrating.items()
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= serving.items()


def test_traffic_goes_to_named_ports() -> None:
    (port,) = MANIFESTS["Service"]["spec"]["ports"]
    allowed = [
        one["port"]
        for rule in MANIFESTS["NetworkPolicy"]["spec"]["ingress"]
        for one in rule["ports"]
    ]

    assert port["targetPort"] == "http"
    assert allowed == ["http", "metrics"]


def test_a_disruption_leaves_a_replica() -> None:
    rolling = DEPLOYMENT["strategy"]["rollingUpdate"]

    assert 0 < MANIFESTS["PodDisruptionBudget"]["spec"]["minAvailable"] < DEPLOYMENT["replicas"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}

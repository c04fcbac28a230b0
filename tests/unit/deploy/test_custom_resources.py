"""Resources of KServe and the Prometheus operator, held against the types that their makers publish for Python."""

import copy
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from support.calls.open_inference import CLIENTS
from support.programs.kustomize import Resource, only, render

from digits_server.settings import Settings

ROOT = Path(__file__).parents[3]
KSERVE = ROOT / "deploy" / "kserve"
SCRIPT = ROOT / "tests" / "inference_clients" / "custom_resources.py"
SECONDS = 200.0
"""Deadline of the script; importing kserve takes seconds."""

GROUPS = ("monitoring.coreos.com/", "serving.kserve.io/")
KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ServingRuntime", "InferenceService"}
DEFAULTS = Settings()


def custom() -> list[Resource]:
    """Every custom resource of the repository."""
    places = [*sorted((ROOT / "deploy" / "kubernetes" / "overlays").iterdir()), KSERVE]
    monitor = yaml.safe_load((ROOT / "deploy/kubernetes/components/envoy-monitoring/monitor.yaml").read_text())
    return [
        monitor,
        *(each for place in places for each in render(place) if each["apiVersion"].startswith(GROUPS)),
    ]


def broken() -> list[Resource]:
    """One of each kind, with a misspelt field or a wrong type."""
    kinds = copy.deepcopy({each["kind"]: each for each in custom()})
    kinds["ServiceMonitor"]["spec"]["endpoints"][0]["relabeling"] = []
    kinds["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["interval"] = "15 seconds"
    kinds["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["expression"] = "up"
    kinds["ServingRuntime"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "http"
    kinds["InferenceService"]["spec"]["predictor"]["model"]["storageURI"] = "pvc://digits-models"
    return list(kinds.values())


@pytest.fixture(scope="module")
def faults() -> list[list[str]]:
    """Those of each of `custom()`, then those of each of `broken()`. One run: starting takes seconds."""
    python = CLIENTS / "bin/python"
    assert python.exists(), "no environment of the clients: `make inference-clients` makes it"
    resources = custom() + broken()
    done = subprocess.run(
        [python, SCRIPT], input=json.dumps(resources), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    told = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    by_place = {each["place"]: each["faults"] for each in told}
    return [by_place.get(place, []) for place in range(len(resources))]


@pytest.fixture(scope="module")
def kserve() -> list[Resource]:
    return render(KSERVE)


def test_every_custom_resource_has_only_fields_that_its_makers_know(faults: list[list[str]]) -> None:
    resources = custom()
    assert {each["kind"] for each in resources} == KINDS
    assert faults[: len(resources)] == [[]] * len(resources)


def test_a_misspelt_field_and_a_wrong_type_are_found(faults: list[list[str]]) -> None:
    assert all(faults[len(custom()) :])


def test_each_inference_service_finds_its_runtime_by_format_and_protocol(kserve: list[Resource]) -> None:
    services = [each for each in kserve if each["kind"] == "InferenceService"]
    assert {each["spec"]["predictor"]["model"]["protocolVersion"] for each in services} == {"v2", "grpc-v2"}
    for service in services:
        model = service["spec"]["predictor"]["model"]
        runtime = only(kserve, "ServingRuntime", model["runtime"])["spec"]
        formats = [{"name": each["name"], "version": each["version"]} for each in runtime["supportedModelFormats"]]
        assert model["modelFormat"] in formats
        assert runtime["protocolVersions"] == [model["protocolVersion"]]


@pytest.mark.parametrize(
    ("runtime", "port_name", "port"),
    [("digits", "http1", DEFAULTS.http_port), ("digits-grpc", "h2c", DEFAULTS.grpc_port)],
)
def test_a_runtime_has_the_one_port_of_its_protocol_by_the_name_kserve_expects(
    kserve: list[Resource], runtime: str, port_name: str, port: int
) -> None:
    (container,) = only(kserve, "ServingRuntime", runtime)["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert [(each["name"], each["containerPort"]) for each in container["ports"]] == [(port_name, port)]
    (probe,) = (value for kind, value in container["readinessProbe"].items() if kind in {"httpGet", "grpc"})
    assert probe["port"] == port


def test_kserve_reads_the_claim_that_training_writes_and_sets_no_variable_of_ours(kserve: list[Resource]) -> None:
    claim = only(render(ROOT / "deploy/kubernetes/base"), "PersistentVolumeClaim", "digits-models")
    for each in kserve:
        if each["kind"] == "InferenceService":
            predictor = each["spec"]["predictor"]
            assert predictor["model"]["storageUri"] == f"pvc://{claim['metadata']['name']}"
            assert each["metadata"]["namespace"] == claim["metadata"]["namespace"]
            assert predictor["enableServiceLinks"] is False
        else:
            (container,) = each["spec"]["containers"]
            assert {"name": "DIGITS_REPOSITORY", "value": "/mnt/models"} in container["env"]

"""The Kubernetes manifests: valid by Kubernetes' own schemas, locked up, and in step with the server's settings."""

import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.kustomize import Resource, containers, only, pod_spec, render
from support.waiting import until

from benchmarks.scaling.capacity import UTILISATION
from digits_server.settings import Settings
from digits_training.cli import commands

KUBERNETES = Path(__file__).parents[3] / "deploy" / "kubernetes"
PLACES = ("base", "overlays/production", "overlays/behind-envoy")
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The oldest that knows all of it (the sleep before a stop), and the newest."""

WORKLOADS = (("Job", "digits-training"), ("Deployment", "digits-server"), ("Deployment", "digits-models"))
PODS = (
    *((place, *workload) for place in PLACES for workload in WORKLOADS),
    ("overlays/behind-envoy", "Deployment", "digits-envoy"),
)
CUSTOM = {"ServiceMonitor", "PodMonitor"}
"""Kinds that Kubernetes itself does not know: the Prometheus operator brings them."""
DEFAULTS = Settings()


@pytest.fixture(params=PLACES)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return render(KUBERNETES / request.param)


@pytest.fixture
def server(resources: list[Resource]) -> Resource:
    return only(resources, "Deployment", "digits-server")


@pytest.fixture(params=PODS, ids="-".join)
def pod(request: pytest.FixtureRequest) -> dict[str, Any]:
    place, kind, name = request.param
    return pod_spec(only(render(KUBERNETES / place), kind, name))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_what_kubernetes_expects(resources: list[Resource], version: str) -> None:
    for each in resources:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_the_service_monitor_finds_the_servers(resources: list[Resource]) -> None:
    monitor = only(resources, "ServiceMonitor", "digits-server")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    service = only(resources, "Service", "digits-server")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval"}
    assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
    assert re.fullmatch(r"[1-9]\d*s", endpoint["interval"])


def test_everything_that_selects_the_servers_selects_their_pods(resources: list[Resource], server: Resource) -> None:
    labels = server["spec"]["template"]["metadata"]["labels"]
    selectors = [
        server["spec"]["selector"]["matchLabels"],
        only(resources, "Service", "digits-server")["spec"]["selector"],
        only(resources, "PodDisruptionBudget", "digits-server")["spec"]["selector"]["matchLabels"],
        only(resources, "NetworkPolicy", "digits-server")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod_spec(server)["topologySpreadConstraints"]),
    ]
    assert all(each.items() <= labels.items() for each in selectors)
    scaled = only(resources, "HorizontalPodAutoscaler", "digits-server")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", server["metadata"]["name"])


def test_the_autoscaler_aims_at_the_share_that_capacity_is_planned_with(resources: list[Resource]) -> None:
    (metric,) = only(resources, "HorizontalPodAutoscaler", "digits-server")["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == round(UTILISATION * 100)


def test_the_ports_are_those_the_server_listens_on(resources: list[Resource], server: Resource) -> None:
    (container,) = containers(server)
    ours = {"grpc": DEFAULTS.grpc_port, "http": DEFAULTS.http_port}
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == ours
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    service = only(resources, "Service", "digits-server")["spec"]
    assert service["clusterIP"] == "None"  # headless: the client balances
    assert {each["name"]: each["port"] for each in service["ports"]} == ours
    policy = only(resources, "NetworkPolicy", "digits-server")["spec"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ours.keys()


def test_only_settings_that_exist_are_set(server: Resource) -> None:
    (container,) = containers(server)
    known = {f"DIGITS_{each.name.upper()}" for each in fields(Settings)}
    assert {each["name"] for each in container["env"]} <= known


def test_a_pod_is_given_longer_to_end_than_the_server_gives_its_callers(server: Resource) -> None:
    (container,) = containers(server)
    grace = {each["name"]: each["value"] for each in container["env"]}["DIGITS_SHUTDOWN_GRACE"]
    assert float(grace) == DEFAULTS.shutdown_grace
    announced = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    probing = container["readinessProbe"]
    assert announced >= probing["periodSeconds"] * probing["failureThreshold"]
    assert pod_spec(server)["terminationGracePeriodSeconds"] >= announced + DEFAULTS.shutdown_grace + 5


def test_the_job_writes_where_the_servers_read(resources: list[Resource], server: Resource) -> None:
    job, commands = only(resources, "Job", "digits-training"), only(resources, "Deployment", "digits-models")
    claims = {each["metadata"]["name"]: each for each in resources if each["kind"] == "PersistentVolumeClaim"}
    for workload, reads_only in ((job, False), (commands, False), (server, True)):
        (volume,) = (each for each in pod_spec(workload)["volumes"] if "persistentVolumeClaim" in each)
        assert volume["persistentVolumeClaim"]["claimName"] in claims
        (container,) = containers(workload)
        assert container["volumeMounts"][0] == (
            {"name": volume["name"], "mountPath": "/models"} | ({"readOnly": True} if reads_only else {})
        )
    assert all(each["spec"]["accessModes"] == ["ReadWriteMany"] for each in claims.values())


def test_in_production_the_job_signs_and_the_servers_ask_for_the_signature() -> None:
    resources = render(KUBERNETES / "overlays/production")
    job, server = only(resources, "Job", "digits-training"), only(resources, "Deployment", "digits-server")
    for workload, variable, kind in (
        (job, "DIGITS_SIGN_KEY", "secret"),
        (server, "DIGITS_REQUIRE_SIGNATURE", "configMap"),
        (only(resources, "Deployment", "digits-models"), "DIGITS_REQUIRE_SIGNATURE", "configMap"),
    ):
        (container,) = containers(workload)
        file = Path({each["name"]: each["value"] for each in container["env"]}[variable])
        (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == str(file.parent))
        (volume,) = (each for each in pod_spec(workload)["volumes"] if each["name"] == mount["name"])
        assert mount["readOnly"]
        assert volume.keys() == {"name", kind}


def test_the_compose_file_gives_the_private_key_to_the_training_job_alone() -> None:
    services = yaml.safe_load((KUBERNETES.parents[1] / "docker-compose.yml").read_text())["services"]
    signing = services["train"]["environment"]
    assert services["server"]["environment"]["DIGITS_REQUIRE_SIGNATURE"] == signing["DIGITS_PUBLIC_KEY"]
    assert signing["DIGITS_SIGN_KEY"] == "/signing/publisher.pem"
    holders = {
        name for name, each in services.items() if any("signing:" in volume for volume in each.get("volumes", []))
    }
    assert holders == {"train"}
    assert "signers:/signers:ro" in services["server"]["volumes"]


def test_the_models_command_has_a_pod_only_when_somebody_wants_one_and_ends_at_once(
    resources: list[Resource],
) -> None:
    commands = only(resources, "Deployment", "digits-models")
    assert commands["spec"]["replicas"] == 0
    (container,) = containers(commands)
    assert container["image"] == containers(only(resources, "Deployment", "digits-server"))[0]["image"]
    program, *arguments = container["command"]
    assert program == "python"
    with subprocess.Popen([sys.executable, *arguments]) as waiting:
        until(lambda: blocks_sigterm(waiting.pid), "it waits for SIGTERM, which would not end a first process else")
        waiting.terminate()
        assert waiting.wait(60) == 0


def blocks_sigterm(pid: int) -> bool:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigBlk"], 16) & 1 << (signal.SIGTERM - 1))


def test_the_compose_file_mounts_the_repository_for_writing_where_it_is_written_and_nowhere_else() -> None:
    services = yaml.safe_load((KUBERNETES.parents[1] / "docker-compose.yml").read_text())["services"]
    writers = {name for name, each in services.items() if "models:/models" in each.get("volumes", [])}
    assert writers == {"train", "models"}
    command = services["models"]
    assert command["profiles"] == ["models"]  # `up` does not start it
    assert command["image"] == services["server"]["image"]
    assert (command["entrypoint"], command["command"]) == (["digits-server", "models"], ["list"])
    signers = "DIGITS_REQUIRE_SIGNATURE"
    assert command["environment"][signers] == services["server"]["environment"][signers]


def test_the_job_is_called_as_its_command_line_wants_it(resources: list[Resource]) -> None:
    (container,) = containers(only(resources, "Job", "digits-training"))
    name, *arguments = container["args"]
    context = commands.commands[name].make_context(name, arguments)
    assert context.params["unless_published"]


def test_no_pod_leaves_the_restricted_level(pod: dict[str, Any]) -> None:
    """Each field of https://kubernetes.io/docs/concepts/security/pod-security-standards, level "restricted"."""
    assert not any(pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC"))
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert all(each.keys() - {"name"} <= allowed for each in pod["volumes"])
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not context.keys() & {"seLinuxOptions", "windowsOptions", "sysctls", "appArmorProfile"}
    for container in containers({"spec": {"template": {"spec": pod}}}):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True  # beyond what the level asks
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own.keys() == {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}  # nothing overrides
        assert not any("hostPort" in port for port in container.get("ports", []))
        assert "'host'" not in str(container.get("lifecycle", {}))


def test_no_pod_holds_a_token_or_runs_unbounded(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    for container in containers({"spec": {"template": {"spec": pod}}}):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_nobody_is_called_and_nobody_unknown_calls(resources: list[Resource]) -> None:
    for _, name in WORKLOADS:
        policy = only(resources, "NetworkPolicy", name)["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert policy["egress"] == []
    for name in ("digits-training", "digits-models"):
        assert only(resources, "NetworkPolicy", name)["spec"]["ingress"] == []


def test_the_namespace_admits_nothing_less_restricted(resources: list[Resource]) -> None:
    labels = only(resources, "Namespace", "digits")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"].get("namespace") for each in resources} == {"digits", None}

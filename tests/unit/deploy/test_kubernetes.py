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
from support.kustomize import KUBECTL, Resource, containers, only, pod_spec, render

from benchmarks.scaling.capacity import UTILISATION
from digits_server.settings import Settings
from digits_training.cli.commands import commands
from digits_training.settings import Settings as TrainingSettings

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACES = ("base", "overlays/laptop", "overlays/production", "overlays/behind-envoy", "overlays/tls")
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The oldest that knows all of it (the sleep before a stop), and the newest."""

WORKLOADS = (("CronJob", "digits-training"), ("Deployment", "digits-server"), ("Deployment", "digits-models"))
PODS = (
    *((place, *workload) for place in PLACES for workload in WORKLOADS),
    ("overlays/behind-envoy", "Deployment", "digits-envoy"),
)
MONITORED = ("overlays/production", "overlays/tls")
CUSTOM = "monitoring.coreos.com/v1"
"""What Kubernetes itself does not know: the Prometheus operator brings it. test_custom_resources.py validates it."""
DEFAULTS = Settings()


def page_of_deploying() -> str:
    return (ROOT / "docs" / "deploying.md").read_text()


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
        if each["apiVersion"] != CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_without_the_monitoring_component_nothing_needs_an_operator() -> None:
    for place in set(PLACES) - set(MONITORED):
        groups = {each["apiVersion"].rpartition("/")[0] for each in render(KUBERNETES / place)}
        assert groups == {"", "apps", "batch", "networking.k8s.io", "policy"}, place


def test_every_image_has_a_tag(resources: list[Resource]) -> None:
    images = [container["image"] for each in resources for container in containers(each)]
    assert images
    assert all(re.fullmatch(r"[\w./-]+:v?[\d.]+", image) for image in images), images


def test_no_job_is_applied_whose_template_could_never_change(resources: list[Resource]) -> None:
    assert not [each for each in resources if each["kind"] == "Job"]
    training = only(resources, "CronJob", "digits-training")["spec"]
    assert training["suspend"] is True


def test_everything_that_selects_the_servers_selects_their_pods(resources: list[Resource], server: Resource) -> None:
    labels = server["spec"]["template"]["metadata"]["labels"]
    selectors = [
        server["spec"]["selector"]["matchLabels"],
        only(resources, "Service", "digits-server")["spec"]["selector"],
        only(resources, "PodDisruptionBudget", "digits-server")["spec"]["selector"]["matchLabels"],
        only(resources, "NetworkPolicy", "digits-server")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod_spec(server).get("topologySpreadConstraints", [])),
    ]
    assert all(each.items() <= labels.items() for each in selectors)


def test_the_autoscaler_aims_at_the_share_that_capacity_is_planned_with() -> None:
    resources = render(KUBERNETES / "overlays/production")
    server = only(resources, "Deployment", "digits-server")
    assert "replicas" not in server["spec"]  # else each `kubectl apply` would set them back
    autoscaler = only(resources, "HorizontalPodAutoscaler", "digits-server")["spec"]
    scaled = autoscaler["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", server["metadata"]["name"])
    (metric,) = autoscaler["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == round(UTILISATION * 100)


def test_the_ports_are_those_the_server_listens_on(resources: list[Resource], server: Resource) -> None:
    (container,) = containers(server)
    ours = {"grpc": DEFAULTS.grpc_port, "http": DEFAULTS.http_port}
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == ours
    probes = {"readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert {name: container[name]["httpGet"]["path"] for name in probes} == probes
    assert {container[name]["httpGet"]["port"] for name in probes} == {"http"}
    service = only(resources, "Service", "digits-server")["spec"]
    assert service["clusterIP"] == "None"  # headless: the client balances
    assert {each["name"]: each["port"] for each in service["ports"]} == ours
    callers, _ = only(resources, "NetworkPolicy", "digits-server")["spec"]["ingress"]
    assert {port["port"] for port in callers["ports"]} == ours.keys()


def test_probes_and_prometheus_speak_tls_where_the_server_does(resources: list[Resource], server: Resource) -> None:
    (container,) = containers(server)
    with_tls = {"name": "DIGITS_HTTP_TLS", "value": "true"} in container["env"]
    schemes = {container[name]["httpGet"].get("scheme", "HTTP") for name in ("readinessProbe", "livenessProbe")}
    schemes |= {
        endpoint.get("scheme", "http").upper()
        for each in resources
        if each["kind"] == "ServiceMonitor"
        for endpoint in each["spec"]["endpoints"]
    }
    assert schemes == {"HTTPS" if with_tls else "HTTP"}


def test_with_tls_the_server_reads_what_the_secret_holds() -> None:
    resources = render(KUBERNETES / "overlays/tls")
    server = only(resources, "Deployment", "digits-server")
    (container,) = containers(server)
    env = {each["name"]: each["value"] for each in container["env"]}
    (volume,) = (each for each in pod_spec(server)["volumes"] if "secret" in each)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume["name"])
    assert [env["DIGITS_TLS_CERTIFICATE"], env["DIGITS_TLS_KEY"]] == [
        f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key")
    ]
    (endpoint,) = only(resources, "ServiceMonitor", "digits-server")["spec"]["endpoints"]
    assert endpoint["tlsConfig"]["ca"]["secret"] == {"name": volume["secret"]["secretName"], "key": "ca.crt"}
    assert endpoint["tlsConfig"]["serverName"] == "digits-server.digits.svc"


def test_a_connection_takes_no_further_call_after_a_while_so_that_callers_find_servers_that_were_added(
    server: Resource,
) -> None:
    (container,) = containers(server)
    env = {each["name"]: each["value"] for each in container["env"]}
    assert 0 < float(env["DIGITS_MAX_CONNECTION_AGE"]) <= 300


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
    job, commands = only(resources, "CronJob", "digits-training"), only(resources, "Deployment", "digits-models")
    claims = {each["metadata"]["name"]: each for each in resources if each["kind"] == "PersistentVolumeClaim"}
    for workload, reads_only in ((job, False), (commands, False), (server, True)):
        (volume,) = (each for each in pod_spec(workload)["volumes"] if "persistentVolumeClaim" in each)
        assert volume["persistentVolumeClaim"]["claimName"] in claims
        (container,) = containers(workload)
        assert container["volumeMounts"][0] == (
            {"name": volume["name"], "mountPath": "/models"} | ({"readOnly": True} if reads_only else {})
        )


def test_a_volume_that_one_node_can_mount_keeps_its_pods_on_one_node(resources: list[Resource]) -> None:
    modes = only(resources, "PersistentVolumeClaim", "digits-models")["spec"]["accessModes"]
    for workload in WORKLOADS:
        pod = pod_spec(only(resources, *workload))
        if modes == ["ReadWriteMany"]:
            assert "affinity" not in pod
            continue
        assert modes == ["ReadWriteOnce"]
        (together,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert together["topologyKey"] == "kubernetes.io/hostname"
        wanted = together["labelSelector"]["matchLabels"].items()
        assert all(wanted <= pod_labels(only(resources, *each)).items() for each in WORKLOADS)


def pod_labels(workload: Resource) -> dict[str, str]:
    spec = workload["spec"]
    return dict(spec.get("jobTemplate", {}).get("spec", spec)["template"]["metadata"]["labels"])


def test_only_the_production_overlay_asks_for_storage_that_many_nodes_can_mount() -> None:
    modes = {
        place: only(render(KUBERNETES / place), "PersistentVolumeClaim", "digits-models")["spec"]["accessModes"]
        for place in PLACES
    }
    assert {place for place, each in modes.items() if each != ["ReadWriteOnce"]} == {"overlays/production"}


def test_the_laptop_overlay_asks_no_registry_and_fits_beside_other_programs() -> None:
    resources = render(KUBERNETES / "overlays/laptop")
    for workload in WORKLOADS:
        (container,) = containers(only(resources, *workload))
        assert container["imagePullPolicy"] == "Never"
        assert container["resources"]["requests"]["cpu"].endswith("m")


def test_in_production_the_job_signs_and_the_servers_ask_for_the_signature() -> None:
    resources = render(KUBERNETES / "overlays/production")
    job, server = only(resources, "CronJob", "digits-training"), only(resources, "Deployment", "digits-server")
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
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # inherited: none comes too early
    try:
        waiting = subprocess.Popen([sys.executable, *arguments])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    waiting.terminate()
    assert waiting.wait(60) == 0


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
    (container,) = containers(only(resources, "CronJob", "digits-training"))
    name, *arguments = container["args"]
    context = commands.commands[name].make_context(name, arguments)
    assert not context.params["unless_published"]  # each Job made of it publishes one more version


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
    assert pod["enableServiceLinks"] is False  # variables such as DIGITS_SERVER_PORT are for settings alone
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


def test_every_folder_that_the_documentation_applies_can_be_rendered_and_has_what_it_names() -> None:
    page = page_of_deploying()
    folders = set(re.findall(r"kubectl apply -k (\S+)", page))
    assert len(folders) >= 5
    assert all(render(ROOT / folder) for folder in folders)
    rendered = render(KUBERNETES / "overlays/laptop")
    for kind, name in set(re.findall(r"(cronjob|deployment|service)/([\w-]+)", page)):
        assert only(rendered, {"cronjob": "CronJob"}.get(kind, kind.capitalize()), name)


def test_settings_of_training_can_be_added_to_a_job_as_the_documentation_says(tmp_path: Path) -> None:
    (added,) = set(re.findall(r"kubectl set env --local .+? yaml ((?:DIGITS_\w+=\w+ ?)+)", page_of_deploying()))
    template = only(render(KUBERNETES / "base"), "CronJob", "digits-training")["spec"]["jobTemplate"]
    job = tmp_path / "job.yaml"
    job.write_text(
        yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m"}, "spec": template["spec"]})
    )
    command = [KUBECTL, "set", "env", "--local", "--filename", job, "--output", "yaml", *added.split()]
    changed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (container,) = containers(yaml.safe_load(changed))
    known = {f"DIGITS_{each.name.upper()}" for each in fields(TrainingSettings)}
    assert {each["name"] for each in container["env"]} <= known
    assert [f"{each['name']}={each['value']}" for each in container["env"]] == added.split()

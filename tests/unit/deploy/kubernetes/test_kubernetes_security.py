"""The Kubernetes manifests and the Compose file: no more rights than needed, and keys where they belong."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from support.programs.kustomize import KUBERNETES, ROOT, WORKLOADS, Resource, containers, only, pod_spec, render


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


def test_the_models_command_has_a_pod_only_on_demand_and_ends_at_once(
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
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    writers = {name for name, each in services.items() if "models:/models" in each.get("volumes", [])}
    assert writers == {"train", "models"}
    command = services["models"]
    assert command["profiles"] == ["models"]  # `up` does not start it
    assert command["image"] == services["server"]["image"]
    assert (command["entrypoint"], command["command"]) == (["digits-server", "models"], ["list"])
    signers = "DIGITS_REQUIRE_SIGNATURE"
    assert command["environment"][signers] == services["server"]["environment"][signers]


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


def test_no_unknown_address_is_called_or_calls(resources: list[Resource]) -> None:
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

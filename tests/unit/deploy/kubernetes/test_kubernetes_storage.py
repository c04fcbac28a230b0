"""The Kubernetes manifests: jobs and servers find one repository, in each place the documentation names."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import yaml
from support.programs.kustomize import (
    KUBECTL,
    KUBERNETES,
    PLACES,
    ROOT,
    WORKLOADS,
    Resource,
    containers,
    only,
    pod_spec,
    render,
)

from digits_training.cli.commands import commands
from digits_training.settings import Settings as TrainingSettings


def page_of_deploying() -> str:
    return (ROOT / "docs" / "deploying.md").read_text()


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


def test_the_job_is_called_as_its_command_line_wants_it(resources: list[Resource]) -> None:
    (container,) = containers(only(resources, "CronJob", "digits-training"))
    name, *arguments = container["args"]
    context = commands.commands[name].make_context(name, arguments)
    assert not context.params["unless_published"]  # each Job made of it publishes one more version


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

"""Renders kustomizations that keep to a few of kustomize's fields, and refuses the others.

https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/ says what they mean.
"""

from pathlib import Path
from typing import Any

import jsonpatch
import yaml

KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "images", "patches"}
CLUSTER_WIDE = {"Namespace"}

Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """Every resource that `kubectl kustomize folder` prints."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= KNOWN, f"not rendered here: {kustomization.keys() - KNOWN}"
    resources = [each for name in kustomization["resources"] for each in _read((folder / name).resolve())]
    for patch in kustomization.get("patches", []):
        resources = _patched(resources, patch)
    for each in resources:
        metadata = each["metadata"]
        if "namespace" in kustomization and each["kind"] not in CLUSTER_WIDE:
            metadata["namespace"] = kustomization["namespace"]
        for labels in kustomization.get("labels", []):
            assert labels.keys() == {"pairs"}
            metadata["labels"] = metadata.get("labels", {}) | labels["pairs"]
        for container in containers(each):
            for image in kustomization.get("images", []):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    return resources


def containers(resource: Resource) -> list[dict[str, Any]]:
    """Those of a workload; none of anything else."""
    pod = pod_spec(resource)
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def pod_spec(resource: Resource) -> dict[str, Any]:
    """That of a workload; empty of anything else."""
    return dict(resource.get("spec", {}).get("template", {}).get("spec", {}))


def only(resources: list[Resource], kind: str, name: str) -> Resource:
    """The one resource of this kind and name."""
    (found,) = (each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def _read(path: Path) -> list[Resource]:
    return render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _patched(resources: list[Resource], patch: dict[str, Any]) -> list[Resource]:
    assert patch.keys() == {"target", "patch"}
    target = only(resources, patch["target"]["kind"], patch["target"]["name"])
    changed = jsonpatch.apply_patch(target, yaml.safe_load(patch["patch"]))
    return [changed if each is target else each for each in resources]

"""Renders kustomizations that keep to a few of kustomize's fields, and refuses the others.

https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/ says what they mean.
"""

from pathlib import Path
from typing import Any

import jsonpatch
import yaml

KNOWN = {
    *("apiVersion", "kind", "namespace", "labels", "resources", "components"),
    *("images", "patches", "configMapGenerator"),
}
CLUSTER_WIDE = {"Namespace"}

Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """Every resource that `kubectl kustomize folder` prints, but for the hashes after the names of ConfigMaps."""
    return _rendered(folder, [])


def _rendered(folder: Path, before: list[Resource]) -> list[Resource]:
    """The same for a kustomization or a component; the latter changes the resources there were before it, too."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= KNOWN, f"not rendered here: {kustomization.keys() - KNOWN}"
    resources = [*before, *(each for name in kustomization.get("resources", []) for each in _read(folder / name))]
    resources += [_config_map(folder, each) for each in kustomization.get("configMapGenerator", [])]
    for name in kustomization.get("components", []):
        resources = _rendered((folder / name).resolve(), resources)
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
    return render(path.resolve()) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _config_map(folder: Path, generator: dict[str, Any]) -> Resource:
    assert generator.keys() == {"name", "files"}
    data = {name: (folder / name).read_text() for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _patched(resources: list[Resource], patch: dict[str, Any]) -> list[Resource]:
    assert patch.keys() == {"target", "patch"}
    target = only(resources, patch["target"]["kind"], patch["target"]["name"])
    changed = jsonpatch.apply_patch(target, yaml.safe_load(patch["patch"]))
    return [changed if each is target else each for each in resources]

"""The Kubernetes manifests as `kubectl kustomize` prints them, and ways to find things in them."""

import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import yaml

KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"
DEADLINE = 60.0
"""Seconds."""

Resource = dict[str, Any]

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACES = ("base", "overlays/laptop", "overlays/production", "overlays/behind-envoy", "overlays/tls")
WORKLOADS = (("CronJob", "digits-training"), ("Deployment", "digits-server"), ("Deployment", "digits-models"))


@cache
def render(folder: Path) -> list[Resource]:
    """Every resource of a kustomization. They are shared, so callers must not change them."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # kustomize warns about things that it will refuse in a later version
    return list(yaml.safe_load_all(done.stdout))


def containers(resource: Resource) -> list[dict[str, Any]]:
    """The containers of a workload; empty for other resources."""
    pod = pod_spec(resource)
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def pod_spec(resource: Resource) -> dict[str, Any]:
    """The pod's specification of a workload; empty for other resources."""
    spec = resource.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return dict(spec.get("template", {}).get("spec", {}))


def only(resources: list[Resource], kind: str, name: str) -> Resource:
    """The one resource of this kind and name."""
    (found,) = (each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name)
    return found

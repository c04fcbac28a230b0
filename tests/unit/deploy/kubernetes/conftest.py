"""The Kubernetes manifests of every place they are applied in, rendered."""

from typing import Any

import pytest
from support.programs.kustomize import KUBERNETES, PLACES, WORKLOADS, Resource, only, pod_spec, render

PODS = (
    *((place, *workload) for place in PLACES for workload in WORKLOADS),
    ("overlays/behind-envoy", "Deployment", "digits-envoy"),
)


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

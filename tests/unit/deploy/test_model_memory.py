"""What is deployed with a memory limit accepts no model that leaves too little for the calls, by docs/operating.md."""

import re
from pathlib import Path

import pytest
import yaml
from support.programs.kustomize import containers, only, render

from digits_server.settings import Settings

ROOT = Path(__file__).parents[3]
VARIABLE = "DIGITS_MAX_MODEL_BYTES"
PLACES = ("base", "overlays/laptop", "overlays/production", "overlays/behind-envoy", "overlays/tls")
MIB = 2**20
DEFAULTS = Settings()
WAITING = 2 * DEFAULTS.max_waiting_bytes + DEFAULTS.max_waiting_file_bytes + DEFAULTS.max_stream_bytes
"""Of messages, of HTTP bodies, of files, of streams."""


def needed_mib(model_bytes: int) -> float:
    """The memory that a model takes, by the sentence that the benchmark wrote, and what callers may make wait."""
    page = (ROOT / "docs/operating.md").read_text()
    found = re.search(r"a model\.tflite of N MiB takes (\d+) \+ ([\d.]+) × N MiB", page)
    assert found
    return int(found[1]) + float(found[2]) * model_bytes / MIB + WAITING / MIB


@pytest.mark.parametrize("name", ["digits-server", "digits-models"])
@pytest.mark.parametrize("place", PLACES)
def test_a_model_that_a_pod_accepts_fits_its_memory(place: str, name: str) -> None:
    (container,) = containers(only(render(ROOT / "deploy/kubernetes" / place), "Deployment", name))
    (model_bytes,) = (int(each["value"]) for each in container["env"] if each["name"] == VARIABLE)
    limit = re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])
    assert limit
    assert needed_mib(model_bytes) <= int(limit[1])


def test_a_model_that_a_unit_of_systemd_accepts_fits_its_memory() -> None:
    settings = (ROOT / "deploy/systemd/etc/server.env").read_text()
    (model_bytes,) = re.findall(rf"^{VARIABLE}=(\d+)$", settings, re.MULTILINE)
    (limit,) = re.findall(
        r"^MemoryMax=(\d+)M$", (ROOT / "deploy/systemd/digits-server@.service").read_text(), re.MULTILINE
    )
    assert needed_mib(int(model_bytes)) <= int(limit)


def test_compose_accepts_the_models_that_the_manifests_accept() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (container,) = containers(only(render(ROOT / "deploy/kubernetes/base"), "Deployment", "digits-server"))
    (expected,) = (each["value"] for each in container["env"] if each["name"] == VARIABLE)
    assert {services[name]["environment"][VARIABLE] for name in ("server", "models")} == {expected}

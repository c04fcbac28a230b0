"""The ingredients of the images: a pinned base, and the extras that the documentation promises."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXTRAS = [("server", "signing"), ("server", "tracing"), ("training", "signing")]


@pytest.mark.parametrize(("package", "extra"), EXTRAS)
def test_an_image_installs_what_its_documented_settings_need(package: str, extra: str) -> None:
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[^\w-]", each)[0] for each in project["optional-dependencies"][extra]}
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements" / f"{package}.txt").read_text(), re.MULTILINE))
    assert wanted
    assert wanted <= locked


def test_both_images_have_the_same_base_by_its_digest_and_no_other() -> None:
    bases = set()
    for package in ("server", "training"):
        text = (ROOT / package / "Dockerfile").read_text()
        (base,) = re.findall(r"^ARG BASE=(.+)$", text, re.MULTILINE)
        assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
        first, second, last = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        assert (first, second, last) == ("$BASE", "dependencies", "$BASE")
        bases.add(base)
    assert len(bases) == 1


def test_every_image_of_compose_that_is_not_built_here_has_a_version() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built = {each["image"] for each in services.values() if "build" in each}
    assert built == {"digits-server", "digits-training"}
    foreign = {each["image"] for each in services.values()} - built
    assert all(re.search(r":[\w-]*v?\d+\.\d+\.\d+$", image) for image in foreign), foreign

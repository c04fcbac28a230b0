"""docs/platforms.md agrees with the locks and package metadata, and with what uv says about wheels."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from requirements.platforms import BEGIN, END, INSTALLED, PLATFORMS, cell, package_without_wheel

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/platforms.md").read_text(encoding="utf-8")
PARTS = ("proto", "training", "server", "client")

NO_WHEEL = """error: No solution found when resolving dependencies
  cause: Because ai-edge-litert==2.3.0 has no wheels with a matching platform tag (e.g., `musllinux_1_2_x86_64`)"""


def project(part: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    return found


def test_the_page_names_the_pythons_and_libraries_of_every_package() -> None:
    for part in ("server", "training"):
        assert project(part)["requires-python"] == ">=3.11,<3.14"
    assert "The server and the training job need Python 3.11, 3.12 or 3.13" in PAGE
    for part in ("client", "proto"):
        assert project(part)["requires-python"] == ">=3.10"
        libraries = [each for each in project(part)["dependencies"] if not each.startswith("digits-")]
        assert set(libraries) <= set(INSTALLED["client"])
    assert "its stubs need Python 3.10 or later" in " ".join(PAGE.split())


def test_the_page_names_the_platforms_of_the_native_transport() -> None:
    (marker,) = (line for line in project("server")["dependencies"] if line.startswith("pygrpc-native"))
    assert "sys_platform == 'linux' and platform_machine in 'x86_64 aarch64'" in marker
    assert "sys_platform == 'darwin' and platform_machine in 'x86_64 arm64'" in marker
    row = next(line for line in PAGE.splitlines() if line.startswith("| `pygrpc-native`"))
    assert "Linux x86-64 and ARM64, macOS x86-64 and ARM64" in row


@pytest.mark.parametrize("part", ["server", "training"])
def test_litert_is_needed_everywhere(part: str) -> None:
    (line,) = (line for line in project(part)["dependencies"] if line.startswith("ai-edge-litert"))
    assert ";" not in line


def test_tensorflow_is_the_cpu_build_on_linux_x86_64_only() -> None:
    lines = [line for line in project("training")["dependencies"] if line.startswith("tensorflow")]
    assert [line.split(">=")[0] for line in lines] == ["tensorflow-cpu", "tensorflow"]
    assert "; sys_platform == 'linux' and platform_machine == 'x86_64'" in lines[0]


def test_the_table_has_every_platform_and_every_part() -> None:
    table = PAGE.partition(BEGIN)[2].partition(END)[0]
    rows = [re.split(r" ?\| ?", line)[1:-1] for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == ["", *INSTALLED]
    assert [row[0] for row in rows[1:]] == list(PLATFORMS)
    assert all(cell == "every wheel" or cell.startswith("no `") for row in rows[1:] for cell in row[1:])


def test_the_image_is_the_one_of_the_dockerfiles() -> None:
    for part in ("server", "training"):
        (base,) = re.findall(r"^ARG BASE=([^@\s]+)", (ROOT / part / "Dockerfile").read_text(), re.MULTILINE)
        assert f"`{base}`" in PAGE


def test_a_missing_wheel_is_named() -> None:
    assert package_without_wheel(NO_WHEEL) == "ai-edge-litert"
    assert package_without_wheel("Because uvloop==0.23.0 has no usable wheels and you require") == "uvloop"


def test_another_failure_is_not_taken_for_a_missing_wheel() -> None:
    with pytest.raises(RuntimeError, match="no route"):
        package_without_wheel("error: no route to the index")


def test_a_cell_names_the_python_only_where_they_differ() -> None:
    assert cell({"3.11": "", "3.12": ""}) == "every wheel"
    assert cell({"3.11": "one", "3.12": "one"}) == "no `one`"
    assert cell({"3.11": "", "3.12": "one"}) == "no `one` for 3.12"

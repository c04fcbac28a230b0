"""The packages as users get them: wheels, installed into empty environments of the oldest and the newest Python here.

With EVERY_PYTHON=1 (`make test-packages`): every Python of the machine, with the oldest and with the newest libraries.
"""

import email.message
import email.parser
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.open_inference import CLIENTS
from support.programs.wheels import MINORS, PACKAGES, ROOT, SECONDS, build, environment, install, interpreters
from support.servers.process import ServerProcess

CALL = ROOT / "tests/packages/call.py"
TOGETHER = ROOT / "tests/packages/together.py"
EVERY = bool(os.environ.get("EVERY_PYTHON"))
COUNT = 20

FLOORS_BELOW = 13
"""From this minor version on, Python needs a newer NumPy than the oldest that the client supports."""

ENDS = [(next(interpreters()), "lowest"), (next(interpreters(reversed(MINORS))), "highest")]
CASES = [(each, end) for each in interpreters() for end in ("lowest", "highest")] if EVERY else ENDS
CASE_NAMES = [f"3.{minor}-{end}" for (minor, _), end in CASES]


@pytest.fixture(scope="module")
def transport() -> str:
    return "auto"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def served(
    server: ServerProcess, test_images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The server's address, and a file of images to send."""
    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, test_images[:COUNT])
    return server.target, path


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def run(python: Path, *arguments: str | Path, **environment: str) -> str:
    """The output of a Python that cannot see this repository."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=python.parent,
        env=clean | environment,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def floors() -> dict[str, str]:
    """The lowest versions that the client says it works with, where the Python does not ask for newer ones."""
    listed = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]["dependencies"]
    return dict(each.partition(",")[0].split(">=") for each in listed if ">=" in each and ";" not in each)


@pytest.mark.parametrize(("interpreter", "end"), CASES, ids=CASE_NAMES)
def test_the_client_is_installed_into_an_empty_environment_and_predicts(
    interpreter: tuple[int, Path], end: str, wheels: dict[str, Path], served: tuple[str, Path], tmp_path: Path
) -> None:
    minor, path = interpreter
    python = environment(tmp_path / "empty", path)
    install(python, f"--resolution={end}", "--only-binary=:all:", wheels["proto"], wheels["client"])
    assert "predict" in run(python.parent / "digits", "--help")

    found = json.loads(run(python, CALL, *served))
    versions, answers = found["versions"], found["answers"]
    sys.stdout.write(f"{end}: {versions}\n")
    if end == "lowest" and minor < FLOORS_BELOW:
        assert {name: versions[name].removesuffix(".0") for name in floors()} == floors()
    digits = answers["many"]
    assert len(digits) == COUNT
    assert answers["each"] == answers["stream"] == answers["async many"] == answers["async stream"] == digits
    assert answers["one"] == answers["async one"] == digits[0]
    assert answers["published"].endswith("+00:00")
    assert answers["parsed"]
    assert answers["failed"] == [0]
    assert answers["closed in flight"] == ["ClientClosed", "ClientClosed"]


@pytest.mark.parametrize("other", ["tritonclient", "kserve"])
def test_the_client_stands_in_one_environment_and_one_process_with(
    other: str, wheels: dict[str, Path], served: tuple[str, Path], tmp_path: Path
) -> None:
    """Both are in that environment, but they do not work together in one process."""
    python = CLIENTS / "bin/python"
    told = install(python, "--dry-run", wheels["proto"], wheels["client"])
    assert "Would install 2 packages" in told, told
    assert "Would uninstall" not in told, told

    install(python, "--no-deps", "--target", tmp_path, wheels["proto"], wheels["client"])
    answers = json.loads(run(python, TOGETHER, *served, other, PYTHONPATH=str(tmp_path)))
    assert answers["theirs"] == answers["ours"]
    assert len(answers["ours"]) == COUNT


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_has_its_licence_and_a_readme_that_needs_no_repository(package: str, wheels: dict[str, Path]) -> None:
    described = metadata(wheels[package])
    with zipfile.ZipFile(wheels[package]) as archive:
        inside = archive.namelist()
        folder = next(name for name in inside if name.endswith("METADATA")).rpartition("/")[0]
        for licence in described.get_all("License-File", []):
            assert f"{folder}/licenses/{licence}" in inside
        assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert described["License-Expression"].startswith("Apache-2.0")
    assert not [name for name in inside if name.startswith("tests") or "__pycache__" in name]
    readme = described.get_payload()
    assert isinstance(readme, str)
    assert "](../" not in readme
    assert "](docs" not in readme
    assert "pip install ." in readme or package == "proto"


def test_the_wheel_with_mnist_declares_its_licence(wheels: dict[str, Path]) -> None:
    described = metadata(wheels["training"])
    assert described["License-Expression"] == "Apache-2.0 AND CC-BY-SA-3.0"
    assert "src/digits_training/mnist/README.md" in described.get_all("License-File", [])


def test_every_wheel_passes_the_check_of_the_index(wheels: dict[str, Path]) -> None:
    told = run(Path(sys.executable).parent / "twine", "check", "--strict", *wheels.values())
    assert told.count("PASSED") == len(PACKAGES)


def test_the_versions_of_the_wheels_are_one(wheels: dict[str, Path]) -> None:
    described: list[Any] = [metadata(wheel) for wheel in wheels.values()]
    (version,) = {each["Version"] for each in described}
    needed = {each for one in described for each in one.get_all("Requires-Dist", []) if each.startswith("digits-")}
    ours = {each.partition(";")[0].strip() for each in needed}
    assert ours == {f"digits-proto=={version}", f"digits-server=={version}"}  # the server only for extras of training

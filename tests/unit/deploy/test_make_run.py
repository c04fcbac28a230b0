"""What `make run` would do, on a fresh machine and where a version is published."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def planned(target: str, repository: Path, environment: Path) -> str:
    command = ["make", "--dry-run", target, f"REPOSITORY={repository}", f"VENV={environment}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", ["run", "demo", "run-behind-envoy"])
def test_tensorflow_is_installed_beside_the_rest_where_nothing_is_published_and_nowhere_else(
    target: str, tmp_path: Path
) -> None:
    fresh = planned(target, tmp_path / "models", tmp_path / "venv")
    assert "deploy/local/trainer.py" in fresh
    assert "requirements/run.txt" in fresh
    (tmp_path / "models/digits/1").mkdir(parents=True)
    again = planned(target, tmp_path / "models", tmp_path / "venv")
    assert "trainer.py" not in again
    assert "deploy/local/main_job.py" in again
    assert "dev.txt" not in fresh + again


def test_every_package_is_installed_from_a_lock_with_hashes(tmp_path: Path) -> None:
    lines = planned("run", tmp_path / "models", tmp_path / "venv").splitlines()
    installing = [line for line in lines if "install" in line and "--requirement" in line]
    assert len(installing) >= 2
    assert all("--require-hashes" in line for line in installing)

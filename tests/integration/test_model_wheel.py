"""A published model as a package: built completely and signed, and served if no repository is named."""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models.model_wheel import build_model, installed_model
from support.models.repositories import copy_version, edit_manifest
from support.programs.wheels import ROOT, SECONDS
from support.servers.process import SCRIPTS, START_SECONDS, ServerProcess

from digits_client import Client

NEEDED = "install the package digits-model"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, Path]:
    """A private key, and the file with its public half."""
    folder = tmp_path_factory.mktemp("keys")
    shutil.copytree(repository, folder / "models")
    private, public = folder / "private.pem", folder / "public.pem"
    command: list[str | Path] = [SCRIPTS / "digits-train", "sign", "1", "--repository", folder / "models"]
    command += ["--sign-key", private, "--public-key", public]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    return private, public


@pytest.fixture(scope="module")
def installed(repository: Path, key: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package, signed."""
    return installed_model(repository / "digits/1", tmp_path_factory.mktemp("model"), "--sign-key", key[0])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """The tests run in a folder without `models`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        yield tmp_path


def server(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [SCRIPTS / "digits-server", *arguments]
    with_own = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False, env=with_own)


def test_the_wheel_has_the_whole_version_the_licences_and_no_dependency(installed: Path, repository: Path) -> None:
    with zipfile.ZipFile(installed.parent / "dist/digits_model-1-py3-none-any.whl") as archive:
        names = archive.namelist()
        version = repository / "digits/1"
        for file in (path for path in version.rglob("*") if path.is_file()):
            inside = f"digits_model/models/digits/1/{file.relative_to(version)}"
            assert archive.read(inside) == file.read_bytes()
        described = archive.read("digits_model-1.dist-info/METADATA").decode()
    assert "digits_model/models/digits/1/manifest.json.sig" in names
    assert {f"digits_model-1.dist-info/licenses/{name}" for name in ("LICENSE", "DATA_LICENSE")} <= set(names)
    assert "License-Expression: Apache-2.0 AND CC-BY-SA-3.0" in described
    assert "Requires-Dist" not in described


@pytest.mark.usefixtures("elsewhere")
def test_without_a_repository_the_server_serves_the_installed_model_and_says_so(
    installed: Path, key: tuple[Path, Path]
) -> None:
    environment = {"PYTHONPATH": str(installed)}
    with ServerProcess("--require-signature", key[1], environment={**os.environ, **environment}) as running:
        said = next(line for line in running.log if "digits-model" in line["message"])
        assert said["message"] == "serving the installed package digits-model 1: models does not exist"
        with Client(running.wait_ready().target) as client:
            assert client.predict(ROOT / "docs/digit.png").digit == 7
    config = server("--print-config", **environment).stdout
    assert f"installed package digits-model 1, in {installed}/digits_model/models." in config
    listed = server("models", "list", **environment)
    assert listed.returncode == 0
    assert "no model repository" not in listed.stdout


@pytest.mark.parametrize("how", ["flag", "variable", "folder", "link to nothing"])
def test_a_repository_that_is_named_or_exists_wins_over_the_installed_model(
    installed: Path, elsewhere: Path, how: str
) -> None:
    arguments, environment = [], {"PYTHONPATH": str(installed)}
    if how == "flag":
        arguments = ["--repository", "models"]
    elif how == "variable":
        environment["DIGITS_REPOSITORY"] = "models"
    elif how == "folder":
        elsewhere.joinpath("models").mkdir()
    else:
        elsewhere.joinpath("models").symlink_to("unmounted")
    config = server(*arguments, "--print-config", **environment).stdout
    assert "digits-model" not in config


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_the_package_the_error_says_what_to_install(workers: str) -> None:
    ended = server("--grpc-port", "0", "--http-port", "0", "--workers", workers)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("Error: no model repository at models/digits: expected folders 1, 2, … there; name one")
    assert NEEDED in last
    named = server("--repository", "models", "--grpc-port", "0", "--http-port", "0")
    assert NEEDED not in named.stderr


def test_a_folder_that_cannot_become_a_wheel_is_refused_in_one_sentence(repository: Path, tmp_path: Path) -> None:
    folder = copy_version(repository, tmp_path, 2)
    edit_manifest(folder, lambda manifest: manifest["training"].update(data=[]))
    assert "name the file with their licence" in build_model(folder, tmp_path / "dist").stderr
    (tmp_path / "terms.txt").write_text("Ask before you copy.\n")
    assert build_model(folder, tmp_path / "dist", "--data-licence", tmp_path / "terms.txt").returncode == 0

    folder.joinpath("model.tflite").write_bytes(b"another")
    for refused, said in (
        (folder, "model.tflite changed after it was published"),
        (tmp_path, "is not a published version"),
        (Path(shutil.copytree(repository / "digits/1", tmp_path / "9")), "holds version 1 by its manifest"),
    ):
        done = build_model(refused, tmp_path / "dist")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert said in done.stderr

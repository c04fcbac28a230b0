"""Builds the wheel `digits-model` of a published version: its unchanged folder, the licences, and no dependency.

    python deploy/model_wheel/build.py models/digits/N DIST [--sign-key FILE] [--data-licence FILE]

The number of the package is N. The server checks every file of a version, so the wheel has all of them. With a key,
the copy in the wheel is signed; the version itself stays as it is. Exit code 1, with one line, if it cannot be built.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import json_format

import digits_training
from digits.v1.manifest_pb2 import Manifest
from digits_training.errors import SettingsError
from digits_training.repository import manifest, signing

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MNIST = Path(digits_training.__file__).with_name("mnist")
SECONDS = 120.0
"""Deadline of the build."""


class CannotBuild(Exception):
    """The wheel cannot be built; the message is one sentence."""


def read(version: Path) -> Manifest:
    """The manifest of a published version, after each of its files was checked. Raises CannotBuild."""
    try:
        found = manifest.read(version)
        if [item.path for item in found.files if Path(item.path).is_absolute() or ".." in Path(item.path).parts]:
            raise CannotBuild(f"{version}: the manifest names files outside the version's folder")
        hashes = {item.path: hashlib.sha256((version / item.path).read_bytes()).hexdigest() for item in found.files}
    except (OSError, ValueError, json_format.ParseError) as error:
        raise CannotBuild(f"{version} is not a published version: expected models/digits/N ({error})") from error
    if version.resolve().name != str(found.model_version):
        raise CannotBuild(f"{version} holds version {found.model_version} by its manifest: expected its own number")
    if changed := [item.path for item in found.files if hashes[item.path] != item.sha256]:
        raise CannotBuild(f"{version}: {', '.join(changed)} changed after it was published: publish a version again")
    return found


def licence(found: Manifest, given: Path | None) -> tuple[str, Path]:
    """The licence of the wheel, as SPDX writes it, and the file with that of the data. Raises CannotBuild."""
    if given:
        if not given.is_file():
            raise CannotBuild(f"--data-licence {given}: the file does not exist")
        return "Apache-2.0 AND LicenseRef-Training-Data", given
    shipped = {line.split()[0] for line in (MNIST / "SHA256SUMS").read_text().splitlines()}
    if {item.sha256 for item in found.training.data} != shipped:
        raise CannotBuild(
            "the version was not made from the MNIST that ships, and its manifest holds images of its data: name the "
            "file with their licence with --data-licence (make: DATA_LICENCE=FILE)"
        )
    return "Apache-2.0 AND CC-BY-SA-3.0", MNIST / "README.md"


def build(version: Path, dist: Path, sign_key: Path | None, data_licence: Path | None) -> None:
    """Builds the wheel into `dist`. Raises CannotBuild, SettingsError, OSError or CalledProcessError."""
    found = read(version)
    expression, data = licence(found, data_licence)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        copy = folder / "digits_model/models" / found.model_name / str(found.model_version)
        copy.mkdir(parents=True)
        for name in ("manifest.json", signing.FILE_NAME, *(item.path for item in found.files)):
            if name == signing.FILE_NAME and not (version / name).exists():
                continue
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(version / name, copy / name)
        if sign_key:
            signing.sign(copy, sign_key)
        shutil.copyfile(HERE / "digits_model.py", folder / "digits_model/__init__.py")
        shutil.copyfile(HERE / "README.md", folder / "README.md")
        shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
        shutil.copyfile(data, folder / "DATA_LICENSE")
        project = (HERE / "pyproject.toml.in").read_text(encoding="utf-8")
        said = (
            f"Version {found.model_version} of the model {found.model_name} of Digits: {found.training.network}, "
            f"{found.metrics.test_accuracy:.2%} of its test images"
        )
        filled = project.format(version=found.model_version, description=json.dumps(said), licence=expression)
        (folder / "pyproject.toml").write_text(filled, encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
        subprocess.run([*command, "--directory", dist.resolve()], cwd=folder, check=True, timeout=SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the wheel digits-model of a published version.")
    parser.add_argument("version", type=Path, help="the version's folder, such as models/digits/1")
    parser.add_argument("dist", type=Path, help="where the wheel goes")
    parser.add_argument("--sign-key", type=Path, help="Ed25519 private key (PEM) that signs the copy in the wheel")
    parser.add_argument("--data-licence", type=Path, help="licence of the training data, if it is not our MNIST")
    chosen = parser.parse_args()
    try:
        build(chosen.version, chosen.dist, chosen.sign_key, chosen.data_licence)
    except (CannotBuild, SettingsError, OSError, subprocess.CalledProcessError) as error:
        print(f"model wheel: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

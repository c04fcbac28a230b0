"""Storage that shows other inodes and times at each look, as object stores and some FUSE mounts do."""

import shutil
from pathlib import Path

from support.machine.mounted import Mounted
from support.models.repositories import copy_version
from support.servers.following import following

READS = 4
"""Most reads of a model file: to load it, to compute its digest, and again when it first looked changed."""


def test_an_unchanged_version_is_loaded_once_though_it_looks_changed_all_the_time(
    repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(repository, folder)
    with Mounted(tmp_path / "volume", folder, restless=True) as volume, following(volume.path) as follower:
        for version in (2, 3):  # each is seen after many looks at those before it
            copy_version(repository, tmp_path / "new", version).rename(folder / "digits" / str(version))
            follower.wait_for({**dict.fromkeys((version - 1, version), "SERVING"), **available(version)})
        loaded = [record["message"] for record in follower.server.log if "is loaded" in record["message"]]
        assert loaded == [f"model version {version} is loaded" for version in (1, 2, 3)]
        assert volume.read.count("model.tflite") <= 3 * READS


def available(version: int) -> dict[int, str]:
    return dict.fromkeys(range(1, version - 1), "AVAILABLE")

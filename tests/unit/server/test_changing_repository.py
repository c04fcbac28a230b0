"""A repository whose files are replaced while it is read: no file outside it is read, and no read blocks."""

import ctypes
import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from support.models.repositories import copy_version, edit_manifest, replace_file

from digits_server.errors import ModelRejected, RepositoryError
from digits_server.models.pins import PinFile
from digits_server.models.repository import MAX_VERSIONS, ModelRepository
from digits_server.models.version_files import read_file
from digits_server.serving.retries import FIRST_PAUSE, JITTER, LONGEST_PAUSE, Retries
from digits_server.system.regular_files import NotRegular, read_regular

AT_FDCWD, RENAME_EXCHANGE = -100, 2
ROUNDS = 300
MIB = 1024 * 1024


def rejection(root: Path) -> ModelRejected:
    with pytest.raises(ModelRejected) as caught:
        ModelRepository(root, "digits", max_bytes=10_000_000).verify(1, "model.tflite")
    return caught.value


def test_a_pin_that_is_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pin.json")
    with pytest.raises(RepositoryError, match=r"pin\.json is not valid: expected a regular file, found a named pipe"):
        PinFile(tmp_path).read()


def test_a_pin_that_is_a_link_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("elsewhere").write_text('{"version": 2}')
    tmp_path.joinpath("pin.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RepositoryError):
        PinFile(tmp_path).read()


@pytest.mark.parametrize("name", ["manifest.json", "model.tflite"])
def test_a_named_pipe_in_the_place_of_a_file_is_refused_without_waiting(
    repository: Path, tmp_path: Path, name: str
) -> None:
    folder = copy_version(repository, tmp_path, 1)
    folder.joinpath(name).unlink()
    os.mkfifo(folder / name)
    assert "a named pipe" in rejection(tmp_path).message


@pytest.mark.parametrize("kind", ["link to a file", "named pipe"])
def test_a_file_that_is_swapped_all_the_time_is_never_read_elsewhere(
    repository: Path, tmp_path: Path, kind: str
) -> None:
    folder = copy_version(repository, tmp_path, 1)
    good, other = folder / "model.tflite", tmp_path / "other"
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    if kind == "named pipe":
        os.mkfifo(other)
    else:
        other.symlink_to(outside)
    stop = threading.Event()
    rename = ctypes.CDLL(None, use_errno=True).renameat2

    def swap() -> None:
        while not stop.is_set():
            assert rename(AT_FDCWD, bytes(good), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0

    swapper = threading.Thread(target=swap)
    swapper.start()
    contents = set()
    try:
        for _ in range(ROUNDS):
            try:
                contents.add(read_file(folder, "model.tflite", 10_000_000)[:7])
            except ModelRejected as error:
                assert error.cause in ("path", "missing", "read")
    finally:
        stop.set()
        swapper.join(60)
    assert b"outside" not in contents


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for place in ("/dev/zero", tmp_path):
        with pytest.raises((NotRegular, OSError)):
            read_regular(place, 100)


def test_of_very_many_versions_the_newest_are_looked_at_and_those_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    for version in range(1, MAX_VERSIONS + 100):
        folder.joinpath(str(version)).mkdir(parents=True)
    repository = ModelRepository(tmp_path, "digits", max_bytes=1)
    newest = list(range(100, MAX_VERSIONS + 100))
    assert repository.versions() == newest
    assert repository.versions(also={0, 3, 150, MAX_VERSIONS + 100}) == [3, *newest]


@pytest.mark.parametrize("name", ["model\n.tflite", "\x1b[2Jmodel", "a\x7f", "a\x9b", "a\0b"])
def test_a_name_with_a_control_character_is_refused(repository: Path, tmp_path: Path, name: str) -> None:
    folder = copy_version(repository, tmp_path, 1)
    edit_manifest(folder, lambda manifest: manifest["files"][0].update(path=name))
    assert rejection(tmp_path).cause == "manifest"
    assert "control character" in rejection(tmp_path).message


@pytest.mark.parametrize("number", ["NaN", "Infinity", '"NaN"', '"-Infinity"', "1e999", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_refused(repository: Path, tmp_path: Path, number: str) -> None:
    folder = copy_version(repository, tmp_path, 1)
    edit_manifest(folder, lambda manifest: manifest["goldenImages"][0]["probabilities"].__setitem__(0, 12345.5))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("12345.5", number))
    assert rejection(tmp_path).cause == "manifest"


def test_a_version_is_tried_again_after_growing_pauses() -> None:
    now = 0.0
    retries = Retries(lambda: now)
    pause = FIRST_PAUSE
    for _ in range(12):
        retries.failed(1)
        now += pause * (1 - JITTER) * 0.99
        assert not retries.due(1)
        now += pause * 2 * JITTER + pause * 0.02
        assert retries.due(1)
        pause = min(2 * pause, LONGEST_PAUSE)
    retries.settled(1)
    assert not retries.due(1)


def test_a_large_file_that_is_only_verified_is_not_kept_in_memory(repository: Path, tmp_path: Path) -> None:
    """A publisher must not be able to fill the memory with a file that the server does not use."""
    folder = copy_version(repository, tmp_path, 1)
    replace_file(folder, "model.keras", bytes(64 * MIB))
    tracemalloc.start()
    try:
        verified = ModelRepository(tmp_path, "digits", max_bytes=512 * MIB).verify(1, "model.tflite")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert verified.model == (folder / "model.tflite").read_bytes()
    assert peak < 8 * MIB


def test_a_large_file_that_is_longer_than_its_manifest_says_is_refused(repository: Path, tmp_path: Path) -> None:
    folder = copy_version(repository, tmp_path, 1)
    with (folder / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelRejected, match=r"model\.keras is larger than \d+ bytes"):
        ModelRepository(tmp_path, "digits", max_bytes=512 * MIB).verify(1, "model.tflite")

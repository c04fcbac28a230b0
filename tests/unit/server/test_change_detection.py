"""Content decides whether files have changed, and is read only when they look changed."""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.models.repositories import copy_version

from digits_server.models import repository as repository_module
from digits_server.models.change_detection import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_ENTRIES,
    ContentWatch,
    Entry,
    Look,
    digest_of,
    look_into,
)
from digits_server.models.repository import ModelRepository
from digits_server.system.regular_files import opened_folder

MAX_BYTES = 10_000_000


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    return copy_version(repository, tmp_path, 1)


@pytest.fixture
def opened(copy: Path) -> ModelRepository:
    return ModelRepository(copy.parents[1], "digits", max_bytes=MAX_BYTES)


def copied_in_place(version: Path) -> None:
    """Other inodes and other times, the same content."""
    for path in version.rglob("*"):
        if path.is_file():
            shutil.copy(path, path.with_name("copy"))
            path.with_name("copy").replace(path)


def touched(version: Path) -> None:
    os.utime(version / "model.tflite")


def one_byte(version: Path) -> None:
    content = bytearray((version / "model.tflite").read_bytes())
    content[-1] ^= 1
    (version / "model.tflite").write_bytes(content)


def one_byte_with_the_same_times(version: Path) -> None:
    before = (version / "model.tflite").stat()
    one_byte(version)
    os.utime(version / "model.tflite", ns=(before.st_atime_ns, before.st_mtime_ns))


def longer(version: Path) -> None:
    with (version / "report/model_card.md").open("ab") as card:
        card.write(b"more")


def without_a_file(version: Path) -> None:
    (version / "model.keras").unlink()


def with_another_file(version: Path) -> None:
    (version / "manifest.json.sig").write_bytes(bytes(64))


def with_a_link_in_place_of_a_file(version: Path) -> None:
    (version / "model.tflite").rename(version.parent / "model.tflite")
    (version / "model.tflite").symlink_to(version.parent / "model.tflite")


@pytest.mark.parametrize("change", [copied_in_place, touched])
def test_the_same_content_is_no_change(copy: Path, opened: ModelRepository, change: Callable[[Path], None]) -> None:
    before = opened.fingerprint(1)
    change(copy)
    assert opened.fingerprint(1) == before


@pytest.mark.parametrize(
    "change",
    [
        one_byte,
        one_byte_with_the_same_times,
        longer,
        without_a_file,
        with_another_file,
        with_a_link_in_place_of_a_file,
    ],
)
def test_other_content_is_a_change(copy: Path, opened: ModelRepository, change: Callable[[Path], None]) -> None:
    before = opened.fingerprint(1)
    change(copy)
    assert opened.fingerprint(1) != before


def test_files_that_look_the_same_are_not_read(opened: ModelRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened.fingerprint(1)
    monkeypatch.setattr(repository_module, "digest_of", lambda *_: pytest.fail("files are read"))
    assert opened.fingerprint(1) == before


def test_an_error_is_not_a_change(copy: Path, opened: ModelRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened.fingerprint(1)

    def fail(*_: object) -> bytes:
        raise OSError(5, os.strerror(5))

    for name in ("look_into", "digest_of"):
        with monkeypatch.context() as patch:
            patch.setattr(repository_module, name, fail)
            touched(copy)
            assert opened.fingerprint(1) == before
    one_byte(copy)
    assert opened.fingerprint(1) != before


def look(inode: int, size: int = 100) -> Look:
    return (Entry("model.tflite", 0o100000, size, 0, 0, inode),)


def test_on_storage_whose_inodes_never_stay_files_are_read_ever_more_seldom() -> None:
    now = 0.0
    watch = ContentWatch(lambda: now)
    reads: list[float] = []

    def read() -> bytes:
        reads.append(now)
        return b"the same"

    for inode in range(5000):
        watch.digest(1, look(inode), read)
        now += FIRST_PAUSE
    pauses = [after - before for before, after in pairwise(reads[1:])]
    assert pauses == sorted(pauses)
    assert max(pauses) <= LONGEST_PAUSE + FIRST_PAUSE
    assert len(reads) < 5000 * FIRST_PAUSE / LONGEST_PAUSE + 12


def test_there_another_size_is_noticed_at_once() -> None:
    watch = ContentWatch(lambda: 0.0)
    for inode in range(10):
        assert watch.digest(1, look(inode), lambda: b"first") == b"first"
    assert watch.digest(1, look(10, size=101), lambda: b"second") == b"second"


def test_files_and_folders_are_bounded_in_number_and_depth(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 100):
        (tmp_path / str(number)).touch()
    with opened_folder(tmp_path) as folder:
        assert len(look_into(folder)) == MAX_ENTRIES
    deep = tmp_path / "deep"
    deep.joinpath(*["folder"] * 100).mkdir(parents=True)
    with opened_folder(deep) as folder:
        assert len(look_into(folder)) < 20


def test_named_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with opened_folder(tmp_path) as folder:
        assert digest_of(folder, look_into(folder), MAX_BYTES)


def test_beyond_the_bound_in_bytes_nothing_is_read(copy: Path) -> None:
    with opened_folder(copy) as folder:
        found = look_into(folder)
        first = digest_of(folder, found, max_bytes=0)
        one_byte_with_the_same_times(copy)
        assert digest_of(folder, found, max_bytes=0) == first

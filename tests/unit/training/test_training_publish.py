"""A version appears complete or not at all."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from digits_training.repository import publish


def _write_manifest(folder: Path, version: int) -> None:
    (folder / "manifest.json").write_text(str(version))


def _publish(model: Path) -> int:
    with publish.staging(model) as folder:
        (folder / "model.tflite").write_bytes(b"model")
        return publish.publish(folder, _write_manifest)


def test_versions_count_up_from_one(tmp_path: Path) -> None:
    assert [_publish(tmp_path / "digits") for _ in range(3)] == [1, 2, 3]
    assert publish.versions(tmp_path / "digits") == [1, 2, 3]


def test_the_next_version_follows_the_highest_even_if_there_are_gaps(tmp_path: Path) -> None:
    (tmp_path / "digits/41").mkdir(parents=True)
    assert _publish(tmp_path / "digits") == 42


def test_only_folders_named_by_positive_integers_are_versions(tmp_path: Path) -> None:
    for name in ("1", "01", "0", "-2", "3.5", "four", ".incoming-x", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert publish.versions(tmp_path) == [1]


def test_whoever_serves_a_version_can_read_it(tmp_path: Path) -> None:
    usual = os.umask(0o077)  # of a trainer who keeps things to himself
    try:
        folder = tmp_path / "digits" / str(_publish(tmp_path / "digits"))
    finally:
        os.umask(usual)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def _fail_while_staging(model: Path) -> None:
    with publish.staging(model) as folder:
        (folder / "model.keras").write_bytes(b"half")
        raise RuntimeError("conversion failed")


def test_a_failed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="conversion failed"):
        _fail_while_staging(tmp_path / "digits")
    assert list((tmp_path / "digits").iterdir()) == []


def test_a_number_taken_meanwhile_makes_the_version_the_next_one(tmp_path: Path) -> None:
    model = tmp_path / "digits"

    def overtaken(folder: Path, version: int) -> None:
        if version == 1:
            (model / "1").mkdir()
            (model / "1/manifest.json").write_text("another run's")
        _write_manifest(folder, version)

    with publish.staging(model) as folder:
        assert publish.publish(folder, overtaken) == 2
    assert (model / "1/manifest.json").read_text() == "another run's"
    assert (model / "2/manifest.json").read_text() == "2"


def test_twenty_runs_at_once_publish_twenty_versions(tmp_path: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        numbers = list(pool.map(_publish, [tmp_path / "digits"] * 20))
    assert sorted(numbers) == list(range(1, 21))
    assert [(tmp_path / f"digits/{n}/manifest.json").read_text() for n in range(1, 21)] == [
        str(n) for n in range(1, 21)
    ]


DIE_WHILE_STAGING = """
import os, signal, sys
from pathlib import Path
from digits_training.repository import publish
with publish.staging(Path(sys.argv[1])) as folder:
    (folder / "model.keras").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE_WHILE_STAGING, tmp_path / "digits"], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.startswith(".incoming-") for path in (tmp_path / "digits").iterdir()] == [True]
    _publish(tmp_path / "digits")
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1"]


def test_what_a_living_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    with publish.staging(tmp_path / "digits") as folder:
        (folder / "model.tflite").write_bytes(b"mine")
        assert _publish(tmp_path / "digits") == 1
        assert (folder / "model.tflite").read_bytes() == b"mine"
        assert publish.publish(folder, _write_manifest) == 2

"""The file pin.json: read with care, written whole, changed by one command at a time."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from digits_server.errors import OperatorError, RepositoryError
from digits_server.models import pins
from digits_server.models.pins import PinFile
from digits_server.models.rollout import NO_CANARY, StatedRollout
from digits_server.setting_types import Canary


@pytest.mark.parametrize(
    "stated",
    [
        StatedRollout(pinned=3),
        StatedRollout(canary=Canary(3, 0.125), shadow=4),
        StatedRollout(pinned=1, canary=NO_CANARY, shadow=0),
    ],
)
def test_a_written_pin_is_read_again(tmp_path: Path, stated: StatedRollout) -> None:
    file = PinFile(tmp_path)
    with file.locked():
        file.write(stated)
    assert file.read() == stated
    with file.locked():
        file.write(StatedRollout())
    assert list(tmp_path.iterdir()) == []
    assert file.read() == StatedRollout()


def test_a_pin_of_an_older_server_is_read_and_a_pin_alone_is_written_like_one(tmp_path: Path) -> None:
    tmp_path.joinpath("pin.json").write_text('{"version": 2}')
    file = PinFile(tmp_path)
    assert file.read() == StatedRollout(pinned=2)
    with file.locked():
        file.write(StatedRollout(pinned=3))
    assert json.loads(tmp_path.joinpath("pin.json").read_text()).keys() == {"version", "pinnedAt"}


def test_a_pin_keeps_its_time_while_something_else_changes(tmp_path: Path) -> None:
    file, path = PinFile(tmp_path), tmp_path / "pin.json"
    path.write_text('{"version": 2, "pinnedAt": "2020-01-01T00:00:00Z"}')
    file.write(StatedRollout(pinned=2, shadow=3))
    assert json.loads(path.read_text())["pinnedAt"] == "2020-01-01T00:00:00Z"
    file.write(StatedRollout(pinned=1, shadow=3))
    assert json.loads(path.read_text())["pinnedAt"] > "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"version": -1}', '{"version": 0}', '{"version": "latest"}', '{"version": 1'),
        *('{"canaryVersion": 3}', '{"canaryVersion": 3, "canaryShare": 1.5}', '{"canaryVersion": 3, "canaryShare": 0}'),
        *('{"canaryVersion": 3, "canaryShare": "NaN"}', '{"canaryVersion": -3, "canaryShare": 0.5}'),
        *('{"canaryShare": 0.5}', '{"version": 1, "canaryShare": 0.5}', '{"shadowVersion": -1}', '{"shadow": 3}'),
        *('{"version": 1}' + " " * 5000, "[" * 4000),
    ],
)
def test_an_invalid_pin_file_is_refused_with_advice(tmp_path: Path, content: str) -> None:
    tmp_path.joinpath("pin.json").write_text(content)
    with pytest.raises(
        RepositoryError, match=r"^pin\.json (is not valid: .*; correct it, or remove it|cannot be read: )"
    ):
        PinFile(tmp_path).read()


def test_of_many_changes_at_once_no_change_is_lost(tmp_path: Path) -> None:
    PinFile(tmp_path).write(StatedRollout(pinned=1))

    def count(_: int) -> None:
        file = PinFile(tmp_path)
        with file.locked():
            stated = file.read()
            os.sched_yield()
            file.write(replace(stated, pinned=stated.pinned + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(100)))
    assert PinFile(tmp_path).read() == StatedRollout(pinned=101)


def test_a_command_gives_up_if_another_one_keeps_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "LOCK_SECONDS", 0.0)
    file = PinFile(tmp_path)
    with file.locked(), pytest.raises(OperatorError, match="another command is changing the repository"):
        PinFile(tmp_path).locked().__enter__()
    with PinFile(tmp_path).locked():
        file.write(StatedRollout(pinned=1))


def test_a_pin_that_cannot_replace_the_file_leaves_nothing_unfinished(tmp_path: Path) -> None:
    file = PinFile(tmp_path)
    tmp_path.joinpath("pin.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        file._replace("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["pin.json"]

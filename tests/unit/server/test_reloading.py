"""Files that change under a running server: when new content takes effect, and what happens to invalid content."""

import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from digits_server.errors import OperatorError
from digits_server.security import reloading
from digits_server.security.authentication import token_file
from digits_server.security.reloading import Contents, FileContent, Reloading
from digits_server.system import regular_files

DEADLINE = 30.0
FIRST, SECOND = "the-first-good-token", "the-second-good-token"
LOOKS = 2
"""Time until new content takes effect: within the second and a half that the docs promise, at two checks a second."""


def text(contents: Contents) -> str:
    return contents[0].read("--file").decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("first")
    return path


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.01)


async def watched(files: Reloading[str], change: Callable[[], object], value: str) -> None:
    """Returns once `value` has been told, after `change`."""
    told = asyncio.Event()
    files.tell(lambda new: told.set() if new == value else None)
    watch = asyncio.create_task(files.watch())
    change()
    await asyncio.wait_for(told.wait(), DEADLINE)
    watch.cancel()


def test_new_content_counts_at_the_second_look(file: Path) -> None:
    files = Reloading("the file", [file], text)
    file.write_text("second")
    assert [files._renew() for _ in range(LOOKS)] == [False, True]
    assert files.value == "second"
    assert not files._renew()


def test_a_token_that_was_taken_back_is_refused_after_the_looks_that_the_docs_promise(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{FIRST}\n{SECOND}\n")
    tokens = token_file("--tokens", path)
    assert tokens
    path.write_text(f"{SECOND}\n")
    for _ in range(LOOKS):
        tokens._renew()
    assert FIRST not in tokens.value
    assert SECOND in tokens.value


def test_files_that_only_look_changed_are_not_read_into_a_new_value(file: Path) -> None:
    files = Reloading("the file", [file], text)
    for _ in range(5):
        copy = file.with_name("copy")
        copy.write_text("first")
        copy.replace(file)
        assert not files._renew()


def test_files_that_look_different_at_every_look_are_taken_up(file: Path) -> None:
    files = Reloading("the file", [file], text)
    taken = []
    for _ in range(LOOKS):
        copy = file.with_name("copy")
        copy.write_text("second")
        copy.replace(file)
        taken.append(files._renew())
    assert taken == [False, True]


@pytest.mark.parametrize(
    "kind", [ValueError("s3cret"), OSError("s3cret"), KeyError("s3cret"), OperatorError("not yet")]
)
async def test_no_error_ends_the_watch_and_each_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: Exception
) -> None:
    monkeypatch.setattr(reloading, "LONGEST_PAUSE", 0.02)
    attempts, counted = [kind] * 5, []

    def read(contents: Contents) -> str:
        if contents[0].data == b"second" and attempts:
            raise attempts.pop()
        return text(contents)

    files = Reloading("the file", [file], read)
    files.count_failures(lambda: counted.append(1))
    await watched(files, lambda: file.write_text("second"), "second")
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("the file not reloaded: the previous content stays in use. ")
    assert "s3cret" not in caplog.text
    assert len(counted) == 5


async def test_a_listener_that_fails_is_called_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LONGEST_PAUSE", 0.02)
    files = Reloading("the file", [file], text)
    failures = [OSError("no memory")] * 3

    def show(_: str) -> None:
        if failures:
            raise failures.pop()

    files.tell(show)
    await watched(files, lambda: file.write_text("second"), "second")


async def test_content_that_becomes_good_with_time_is_taken_up_without_a_change(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LONGEST_PAUSE", 0.02)
    valid = asyncio.Event()

    def read(contents: Contents) -> str:
        if contents[0].data == b"valid soon" and not valid.is_set():
            raise OperatorError("certificate is not yet valid")
        return text(contents)

    files = Reloading("the file", [file], read)
    files.count_failures(valid.set)
    await watched(files, lambda: file.write_text("valid soon"), "valid soon")


async def test_a_file_that_may_be_read_only_later_is_taken_up_without_a_change_of_content(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, root moves a file in and then gives it to the server's user: its content and times do not change."""
    readable = asyncio.Event()

    def read(path: Path, limit: int) -> bytes:
        if path.read_text() == "second" and not readable.is_set():
            raise PermissionError(13, os.strerror(13))
        return regular_files.read_regular(path, limit)

    monkeypatch.setattr(reloading, "read_regular", read)
    files = Reloading("the file", [file], text)
    files.count_failures(readable.set)
    await watched(files, lambda: file.write_text("second"), "second")


def replace(file: Path, kind: str) -> None:
    file.unlink()
    if kind == "folder":
        file.mkdir()
    if kind == "named pipe":
        os.mkfifo(file)


@pytest.mark.parametrize("kind", ["missing", "folder", "named pipe"])
async def test_an_unreadable_file_keeps_the_old_value_and_is_named(
    file: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    files = Reloading("the file", [file], text)
    failed = asyncio.Event()
    files.count_failures(failed.set)
    watch = asyncio.create_task(files.watch())
    replace(file, kind)
    await asyncio.wait_for(failed.wait(), DEADLINE)
    watch.cancel()
    assert files.value == "first"
    assert f"--file: cannot read {file}" in caplog.text


def test_a_file_over_the_limit_is_not_read_completely(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(reloading.MAX_FILE_BYTES + 1)
    with pytest.raises(OperatorError, match="larger than"):
        Reloading("the file", [path], text)


def test_no_content_is_kept_or_shown(file: Path) -> None:
    shown: list[str] = []
    files = Reloading("the file", [file], lambda contents: shown.append(repr(contents)))
    for _ in range(LOOKS):
        files._renew()
    gc.collect()
    assert "first" not in repr(vars(files)) + "".join(shown)
    assert not [item for item in gc.get_objects() if isinstance(item, FileContent) and item.path == file]

"""The files of the report while the repository does not answer: an error in time, not a caller who waits."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.errors import ModelRejected, NotFound, Unavailable
from digits_server.pages import report

FILE = ModelFile(path="report/report.md", size_bytes=1)
MODELS: Any = SimpleNamespace(current=SimpleNamespace(manifest=Manifest(model_version=1, files=[FILE])))
REQUEST = Request({"type": "http", "headers": [], "path_params": {"version": "1", "name": "report.md"}})
SECONDS = 30.0


def page(read: Callable[[int, ModelFile], bytes]) -> Any:
    source: Any = SimpleNamespace(read=read)
    return report.routes(MODELS, source)[1].endpoint


async def test_a_volume_that_does_not_answer_is_an_error_and_files_behind_it_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()

    def read(*_: Any) -> bytes:
        answers.wait(SECONDS)
        return b"x"

    monkeypatch.setattr(report, "READ_SECONDS", 0.01)
    endpoint = page(read)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        await endpoint(REQUEST)
    assert isinstance(caught.value.__cause__, TimeoutError)
    monkeypatch.setattr(report, "MAX_WAITING", 0)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        await endpoint(REQUEST)
    assert caught.value.__cause__ is None  # rejected at once
    monkeypatch.undo()
    answers.set()
    assert (await endpoint(REQUEST)).body == b"x"


async def test_a_file_that_has_changed_is_not_sent() -> None:
    def read(*_: Any) -> bytes:
        raise ModelRejected("checksum", "report.md is not what was published")

    with pytest.raises(NotFound, match="no longer what was published"):
        await page(read)(REQUEST)

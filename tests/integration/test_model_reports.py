"""The report of a model over HTTP: its files as published, and nothing else."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls.http_client import ask
from support.models.repositories import copy_version, edit_manifest, replace_file
from support.servers.process import ServerProcess


def test_every_file_of_the_report_is_sent_as_published(server: ServerProcess, repository: Path) -> None:
    kinds = {".png": "image/png", ".md": "text/plain; charset=utf-8", ".json": "application/json"}
    files = sorted((repository / "digits/1/report").iterdir())
    assert {file.suffix for file in files} == kinds.keys()
    for file in files:
        reply = ask(server, "GET", f"/model/1/report/{file.name}")
        assert hashlib.sha256(reply.body).digest() == hashlib.sha256(file.read_bytes()).digest()
        assert reply.headers["content-type"] == kinds[file.suffix]
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"


@pytest.mark.parametrize(
    "path",
    [
        "/model/1/report/model.tflite",
        "/model/1/report/../model.tflite",
        "/model/1/report/..%2Fmodel.tflite",
        "/model/1/report/%2e%2e/manifest.json",
        "/model/1/report/",
        "/model/1/report/history.png%00",
        "/model/2/report/history.png",
        "/model/0/report/history.png",
        "/model/1/manifest.json",
        "/model/1/report/" + "a" * 5000,
    ],
)
def test_nothing_but_the_listed_report_is_sent(server: ServerProcess, path: str) -> None:
    assert ask(server, "GET", path).status == 404


@pytest.fixture
def changing(repository: Path, tmp_path: Path) -> Iterator[tuple[ServerProcess, Path]]:
    """A server of a repository that a test may change, and version 1 in it."""
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    version = copy / "digits/1"
    version.joinpath("report/page.html").write_text("<script>alert(1)</script>")

    def listed(manifest: dict[str, Any]) -> None:
        content = version.joinpath("report/page.html").read_bytes()
        entry = {"path": "report/page.html", "sha256": hashlib.sha256(content).hexdigest(), "sizeBytes": len(content)}
        manifest["files"].append(entry)

    edit_manifest(version, listed)
    with ServerProcess("--repository", copy, "--poll-interval", "0") as running:
        yield running.wait_ready(), version


def test_a_report_file_that_changed_after_it_was_verified_is_not_sent(changing: tuple[ServerProcess, Path]) -> None:
    server, version = changing
    plot, card = version / "report/history.png", version / "report/model_card.md"
    assert ask(server, "GET", "/model/1/report/history.png").status == 200
    plot.write_bytes(plot.read_bytes()[:-1] + b"x")
    reply = ask(server, "GET", "/model/1/report/history.png")
    assert (reply.status, reply.json()) == (404, {"error": "this report file is no longer what was published"})
    card.unlink()
    card.symlink_to(version / "manifest.json")
    assert ask(server, "GET", "/model/1/report/model_card.md").status == 404


def test_a_listed_file_that_a_browser_would_run_is_not_sent(changing: tuple[ServerProcess, Path]) -> None:
    assert ask(changing[0], "GET", "/model/1/report/page.html").status == 404


def test_a_report_file_that_is_too_large_to_keep_for_callers_is_not_sent(repository: Path, tmp_path: Path) -> None:
    """The publisher decides the size of a report; each caller that reads slowly would hold a copy."""
    folder = copy_version(repository, tmp_path / "models", 1)
    replace_file(folder, "report/history.png", bytes(1024 * 1024 + 1))
    replace_file(folder, "report/mistakes.png", bytes(1024 * 1024))
    with ServerProcess("--repository", tmp_path / "models") as server:
        server.wait_ready()
        refused = ask(server, "GET", "/model/1/report/history.png")
        assert refused.status == 404
        assert "at most 1048576 are sent" in refused.body.decode()
        assert len(ask(server, "GET", "/model/1/report/mistakes.png").body) == 1024 * 1024


def test_a_manifest_that_would_make_every_answer_of_get_model_large_is_rejected(
    repository: Path, tmp_path: Path
) -> None:
    folder = copy_version(repository, tmp_path / "models", 1)
    copy_version(repository, tmp_path / "models", 2)
    edit_manifest(folder.parent / "2", lambda manifest: manifest.update(labels=["x" * 600_000]))
    with ServerProcess("--repository", tmp_path / "models") as server:
        server.wait_ready()
        assert server.metric("digits_model_info", model_version="1") == 1
        assert server.metric("digits_model_load_failures_total") == 1

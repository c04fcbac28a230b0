"""What a killed server leaves in the file system is taken away by the next one, and nothing else is."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from support.certificates import Authority, Folder
from support.servers import ServerProcess, run_server
from support.waiting import until

from digits_server.transports.envoy.folder import PREFIX, own_folder


@pytest.fixture
def tls(tmp_path: Path) -> Folder:
    """With TLS, a server has more files than the one that tells Envoy whom to let in."""
    folder = Folder(tmp_path / "tls")
    folder.put(Authority().sign())
    return folder


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    path = tmp_path / "temporary"
    path.mkdir()
    return path


def starting(repository: Path, tls: Folder, temporary: Path, *flags: str) -> ServerProcess:
    flags = ("--transport", "envoy", *flags)
    return ServerProcess("--repository", repository, *tls.flags, *flags, environment={"TMPDIR": str(temporary)})


def test_the_files_of_a_killed_server_are_gone_once_the_next_one_runs_and_those_of_a_living_one_are_not(
    repository: Path, tls: Folder, temporary: Path
) -> None:
    with starting(repository, tls, temporary) as living:
        living.wait_ready()
        (kept,) = temporary.iterdir()
        with starting(repository, tls, temporary) as killed:
            killed.wait_ready()
            killed.kill()
        assert len(list(temporary.iterdir())) == 2
        with starting(repository, tls, temporary) as after:
            after.wait_ready()
            assert kept in temporary.iterdir()
            assert len(list(temporary.iterdir())) == 2
            after.terminate()
            assert after.wait() == 0
        assert list(temporary.iterdir()) == [kept]
        living.terminate()
        assert living.wait() == 0
    assert list(temporary.iterdir()) == []


def test_the_files_of_a_killed_worker_are_gone_once_it_is_replaced(
    repository: Path, tls: Folder, temporary: Path
) -> None:
    with starting(repository, tls, temporary, "--workers", "2") as server:
        server.wait_ready()
        before = set(temporary.iterdir())
        victim = next(record["pid"] for record in server.log if record["message"] == "worker ready")
        os.kill(victim, 9)
        server.wait_for_log("worker ready")
        until(lambda: len(set(temporary.iterdir())) == 2, "two workers have a folder each")
        assert len(before & set(temporary.iterdir())) == 1


def test_a_start_that_fails_leaves_nothing(temporary: Path) -> None:
    flags = ("--repository", temporary / "nowhere", "--transport", "envoy")
    assert run_server(*flags, environment={"TMPDIR": str(temporary)}).returncode == 1
    assert list(temporary.iterdir()) == []


def test_nothing_is_removed_that_is_another_user_s_or_elsewhere_or_in_use(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.joinpath("file").touch()
    temporary.joinpath(f"{PREFIX}link").symlink_to(elsewhere)
    temporary.joinpath(f"{PREFIX}file").touch()
    temporary.joinpath("another").mkdir()
    used, left = temporary / f"{PREFIX}used", temporary / f"{PREFIX}left"
    used.mkdir()
    left.mkdir()
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    there = set(temporary.iterdir())
    with monkeypatch.context() as somebody:
        somebody.setattr(os, "geteuid", lambda: os.getuid() + 1)
        there.add(own_folder())
        assert set(temporary.iterdir()) == there
    there.add(own_folder())
    assert set(temporary.iterdir()) == there - {left}
    os.close(lock)
    assert elsewhere.joinpath("file").exists()

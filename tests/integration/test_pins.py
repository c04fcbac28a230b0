"""`digits-server models` says which version answers, and running servers follow."""

import shutil
from pathlib import Path

import pytest
from support.models.variants import publish
from support.servers.following import following
from support.servers.models_command import models, spoil
from support.servers.process import run_server
from support.waiting import until


def test_a_running_server_follows_pin_rollback_and_unpin(repository: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3, 4):
        publish(repository, tmp_path, version)
    with following(tmp_path) as follower:
        assert follower.answer() == (4, 4)
        assert models(tmp_path, "rollback") == (0, "version 3 is pinned; it was 4\n")
        until(lambda: follower.answer() == (3, 3), "the version before answers")
        assert follower.model().pinned_version == 3
        assert follower.server.metric("digits_model_pinned_version") == 3
        assert follower.server.metric("digits_model_info", model_version="3") == 1
        assert models(tmp_path, "rollback") == (0, "version 2 is pinned; it was 3\n")
        until(lambda: follower.answer() == (2, 2), "the version before that answers")
        publish(repository, tmp_path, 5)
        follower.wait_for({1: "AVAILABLE", 2: "SERVING", 3: "AVAILABLE", 4: "SERVING", 5: "SERVING"})
        assert follower.answer() == (2, 2)
        assert models(tmp_path, "pin", "4") == (0, "version 4 is pinned\n")
        until(lambda: follower.answer() == (4, 4), "the version pinned answers")
        assert models(tmp_path, "unpin") == (0, "no version is pinned; version 5 answers\n")
        until(lambda: follower.answer() == (5, 5), "the highest version answers")
        assert follower.model().pinned_version == 0
        assert follower.server.metric("digits_model_pinned_version") == 0


def test_a_pin_outlives_the_server(repository: Path, tmp_path: Path) -> None:
    for version in (1, 2):
        publish(repository, tmp_path, version)
    models(tmp_path, "pin", "1")
    with following(tmp_path) as follower:
        assert follower.answer() == (1, 1)


def test_a_pin_that_cannot_be_followed_changes_nothing_and_is_shown_and_one_broken_by_hand_is_reported(
    repository: Path, tmp_path: Path
) -> None:
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    spoil(tmp_path / "digits/2")
    with following(tmp_path) as follower:
        tmp_path.joinpath("digits/pin.json").write_text('{"version": 2}')
        until(lambda: follower.model().pinned_version == 2, "the pin is seen")
        follower.wait_for({1: "SERVING", 2: "REJECTED", 3: "SERVING"})
        assert follower.answer() == (3, 3)
        tmp_path.joinpath("digits/pin.json").write_text("{")
        follower.server.wait_for_log(
            "pin.json is not valid: expected digits.v1.Pin as JSON; correct it, or remove it; the versions"
        )
        assert follower.server.get("/readyz")[0] == 200
        assert follower.answer() == (3, 3)


def test_at_the_start_a_version_before_a_bad_pinned_one_stands_in_and_never_one_after_it(
    repository: Path, tmp_path: Path
) -> None:
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    models(tmp_path, "pin", "2")
    spoil(tmp_path / "digits/2")
    with following(tmp_path) as follower:
        assert follower.answer() == (1, 1)
    spoil(tmp_path / "digits/1")
    ended = run_server("--repository", tmp_path)
    assert ended.returncode == 1
    assert "no model to serve" in ended.stderr


CANARY_OF_200_PERCENT = '{"canaryVersion": 1, "canaryShare": 2}'


@pytest.mark.parametrize("content", ["", '{"version": -1}', "\xff", '{"version": 1', CANARY_OF_200_PERCENT])
def test_a_broken_pin_is_an_error_of_every_command(repository: Path, tmp_path: Path, content: str) -> None:
    publish(repository, tmp_path, 1)
    tmp_path.joinpath("digits/pin.json").write_text(content, encoding="latin-1")
    code, said = models(tmp_path, "unpin")
    assert code == 1
    assert "pin.json is not valid" in said


def test_a_broken_pin_is_an_error_at_the_start(repository: Path, tmp_path: Path) -> None:
    """The server reads the file as the commands do."""
    publish(repository, tmp_path, 1)
    tmp_path.joinpath("digits/pin.json").write_text(CANARY_OF_200_PERCENT)
    ended = run_server("--repository", tmp_path)
    assert ended.returncode == 1
    assert "pin.json is not valid" in ended.stderr.splitlines()[-1]


def test_a_deleted_pinned_version_is_reported_and_a_version_before_it_answers(repository: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    models(tmp_path, "pin", "2")
    shutil.rmtree(tmp_path / "digits/2")
    with following(tmp_path) as follower:
        assert follower.answer() == (1, 1)
        follower.server.wait_for_log("version 2 is pinned but is not in the repository: version 1 answers; pin another")
    shutil.rmtree(tmp_path / "digits/1")
    ended = run_server("--repository", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        "no model to serve: version 2 is pinned but is not in the repository: no version before it is good, and a "
        "version after it must not answer; pin another version, or unpin"
    )

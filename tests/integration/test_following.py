"""A running server follows its repository: versions that appear, change or disappear."""

import shutil
from pathlib import Path

import pytest
from support.calls.rpc import refusal
from support.models.repositories import copy_version, edit_manifest
from support.models.variants import biased, publish
from support.servers.following import following
from support.servers.process import OVER_BOTH_TRANSPORTS
from support.waiting import until


@OVER_BOTH_TRANSPORTS
def test_a_new_version_goes_live_and_health_info_and_metrics_follow(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    with following(tmp_path) as follower:
        assert follower.answer() == (1, 1)
        publish(repository, tmp_path, 2)
        follower.wait_for({1: "SERVING", 2: "SERVING"})
        assert follower.answer() == (2, 2)
        assert follower.model().manifest.model_version == 2
        assert follower.server.metric("digits_model_info", model_version="2") == 1
        assert follower.server.metric("digits_model_load_seconds") > 0
        assert follower.server.get("/readyz")[0] == 200
        assert follower.failures() == 0


@OVER_BOTH_TRANSPORTS
def test_a_request_may_name_the_newest_good_versions_and_no_other(repository: Path, tmp_path: Path) -> None:
    for version in range(1, 5):
        publish(repository, tmp_path, version)
    with following(tmp_path, "--served-versions", "3") as follower:
        follower.wait_for({1: "AVAILABLE", 2: "SERVING", 3: "SERVING", 4: "SERVING"})
        assert [follower.answer(version) for version in (0, 2, 3, 4)] == [(4, 4), (2, 2), (3, 3), (4, 4)]
        code, message = refusal(lambda: follower.answer(1))
        assert (code, message) == (
            "NOT_FOUND",
            "model_version: 1 is not served; expected 0 (the current one) or one of: 4, 3, 2",
        )
        publish(repository, tmp_path, 5)
        follower.wait_for({1: "AVAILABLE", 2: "AVAILABLE", 3: "SERVING", 4: "SERVING", 5: "SERVING"})
        assert refusal(lambda: follower.answer(2))[0] == "NOT_FOUND"
        assert follower.answer(3) == (3, 3)
        bad = publish(repository, tmp_path / "elsewhere", 6)
        bad.joinpath("model.tflite").unlink()
        bad.rename(tmp_path / "digits/6")  # it does not count among the newest
        follower.wait_for({1: "AVAILABLE", 2: "AVAILABLE", 3: "SERVING", 4: "SERVING", 5: "SERVING", 6: "REJECTED"})


@pytest.mark.parametrize("order", ["manifest first", "manifest last"])
def test_a_version_that_is_still_being_copied_is_rejected_and_comes_good(
    repository: Path, tmp_path: Path, order: str
) -> None:
    publish(repository, tmp_path / "models", 1)
    whole = publish(repository, tmp_path / "elsewhere", 2)
    model = whole.joinpath("model.tflite").read_bytes()
    names = ["manifest.json", "model.keras", "model.tflite"]
    with following(tmp_path / "models") as follower:
        copy = tmp_path / "models/digits/2"
        copy.mkdir()
        follower.wait_for({1: "SERVING", 2: "REJECTED"})
        assert follower.reason(2) == "manifest.json is missing"
        shutil.copytree(whole / "report", copy / "report")
        for name in names if order == "manifest first" else reversed(names):
            if name == "model.tflite":
                copy.joinpath(name).write_bytes(model[:5000])
            else:
                shutil.copy(whole / name, copy / name)
        until(
            lambda: follower.reason(2) == f"model.tflite has 5000 bytes; its manifest says {len(model)}",
            "the model is known to be short",
        )
        assert follower.answer() == (1, 1)
        copy.joinpath("model.tflite").write_bytes(model)
        follower.wait_for({1: "SERVING", 2: "SERVING"})
        assert follower.reason(2) == ""
        assert follower.answer() == (2, 2)


def test_a_rejected_version_is_tried_again_only_when_its_files_change(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    bad = publish(repository, tmp_path, 2)
    good = bad.joinpath("model.tflite").read_bytes()
    bad.joinpath("model.tflite").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with following(tmp_path) as follower:
        follower.wait_for({1: "SERVING", 2: "REJECTED"})
        publish(repository, tmp_path, 3)  # once it serves, the server has looked at all of them again
        follower.wait_for({1: "SERVING", 2: "REJECTED", 3: "SERVING"})
        publish(repository, tmp_path, 4)
        follower.wait_for({1: "AVAILABLE", 2: "REJECTED", 3: "SERVING", 4: "SERVING"})
        assert follower.failures() == 1
        bad.joinpath("model.tflite").write_bytes(good)
        for version in (4, 3):
            tmp_path.joinpath(f"digits/{version}").rename(tmp_path / f"withdrawn-{version}")
        follower.wait_for({1: "SERVING", 2: "SERVING"})
        assert follower.failures() == 1


def test_a_version_taken_away_leaves_but_an_empty_or_missing_repository_takes_nothing_away(
    repository: Path, tmp_path: Path
) -> None:
    root = tmp_path / "volume"
    publish(repository, root, 1)
    publish(repository, root, 2)
    with following(root) as follower:
        follower.wait_for({1: "SERVING", 2: "SERVING"})
        root.rename(tmp_path / "unmounted")
        follower.server.wait_for_log(f"no model repository at {root}/digits: expected folders 1, 2, … there; "
                                     "the versions that serve go on")  # fmt: skip
        root.joinpath("digits").mkdir(parents=True)
        publish(repository, tmp_path / "elsewhere", 3)
        assert follower.answer() == (2, 2)
        assert follower.answer(1) == (1, 1)
        tmp_path.joinpath("elsewhere/digits/3").rename(root / "digits/3")
        follower.wait_for({3: "SERVING"})
        assert follower.answer() == (3, 3)
        publish(repository, tmp_path / "elsewhere", 4).rename(root / "digits/4")
        follower.wait_for({3: "SERVING", 4: "SERVING"})
        shutil.rmtree(root / "digits/4")
        follower.wait_for({3: "SERVING"})  # another version can answer
        assert follower.answer() == (3, 3)


def test_new_files_under_the_number_that_serves_are_proved_before_they_replace_it(
    repository: Path, tmp_path: Path
) -> None:
    version = publish(repository, tmp_path, 1)
    with following(tmp_path) as follower:
        version.joinpath("model.tflite").write_bytes(b"overwritten")
        until(lambda: "model.tflite has 11 bytes" in follower.reason(1), "the change is noticed")
        assert follower.states() == {1: "SERVING"}
        assert follower.answer() == (1, 1)
        shutil.rmtree(version)
        new = copy_version(repository, tmp_path / "elsewhere", 1)
        biased(new, 7)
        new.rename(version)
        until(lambda: follower.answer() == (1, 7), "the new files answer")
        assert follower.reason(1) == ""


def test_without_polling_nothing_changes_after_the_start(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    publish(repository, tmp_path, 2)
    with following(tmp_path, "--poll-interval", "0") as quiet, following(tmp_path) as follower:
        quiet.wait_for({1: "SERVING", 2: "SERVING"})
        publish(repository, tmp_path, 3)
        follower.wait_for({1: "AVAILABLE", 2: "SERVING", 3: "SERVING"})
        assert quiet.states() == {1: "SERVING", 2: "SERVING"}
        assert quiet.answer() == (2, 2)


def test_a_version_that_breaks_the_server_itself_is_rejected_too(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    with following(tmp_path) as follower:
        bad = publish(repository, tmp_path / "elsewhere", 2)
        edit_manifest(bad, lambda manifest: manifest.update(goldenTolerance="NaN"))
        bad.rename(tmp_path / "digits/2")
        follower.wait_for({1: "SERVING", 2: "REJECTED"})
        assert follower.answer() == (1, 1)

"""A version is tested on real traffic: on a share of it, or on copies of all of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.calls.rpc import DEADLINE, refusal
from support.models.variants import publish
from support.servers.following import Follower, following
from support.servers.models_command import models
from support.servers.process import OVER_BOTH_TRANSPORTS, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.__main__ import main

REQUESTS = 400


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository of the versions 1 to 3."""
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    return tmp_path


def agreement(follower: Follower, agrees: str) -> float:
    return follower.server.metric("digits_shadow_agreement_total", agrees=agrees)


@OVER_BOTH_TRANSPORTS
def test_the_canary_gets_its_share_of_the_requests_that_name_no_version_until_a_pin_ends_it(root: Path) -> None:
    with following(root, "--canary", "3=5%") as follower:
        follower.wait_for({1: "AVAILABLE", 2: "SERVING", 3: "SERVING"})
        answers = [follower.answer() for _ in range(REQUESTS)]
        assert set(answers) == {(2, 2), (3, 3)}
        assert abs(answers.count((3, 3)) - 0.05 * REQUESTS) <= 3
        assert {follower.answer(2) for _ in range(50)} == {(2, 2)}
        model = follower.model()
        assert (model.canary_version, model.canary_share) == (3, 0.05)
        assert model.manifest.model_version == 2
        assert follower.server.metric("digits_predictions_total", model_version="3") == answers.count((3, 3))
        root.joinpath("digits/pin.json").write_text('{"version": 1}')
        until(lambda: follower.model().pinned_version == 1, "the pin is followed")
        until(lambda: follower.answer() == (1, 1), "the version pinned answers")
        assert {follower.answer() for _ in range(50)} == {(1, 1)}
        assert follower.model().canary_version == 0


def test_questions_about_the_model_take_no_part_of_the_canarys_share(root: Path) -> None:
    with following(root, "--canary", "3=50%") as follower:
        until(lambda: follower.model().canary_version == 3, "the canary answers")
        answers = []
        for _ in range(20):
            answers.append(follower.answer())
            assert follower.server.get("/v2/models/digits")[0] == 200
        assert answers.count((3, 3)) == 10


def test_a_bad_canary_gets_nothing(root: Path) -> None:
    root.joinpath("digits/3/model.tflite").write_bytes(b"spoilt")
    with following(root, "--canary", "3=50%") as follower:
        follower.wait_for({1: "SERVING", 2: "SERVING", 3: "REJECTED"})
        assert {follower.answer() for _ in range(50)} == {(2, 2)}


@pytest.mark.parametrize("value", ["3", "3=5", "3=0%", "3=101%", "x=5%", "0=5%", "3=nan%"])
def test_a_canary_is_a_version_and_a_share(value: str) -> None:
    ended = CliRunner().invoke(main, ["--repository", "/nowhere", "--canary", value])
    assert ended.exit_code == 2
    assert "is not a version and its share" in ended.stderr


@OVER_BOTH_TRANSPORTS
def test_the_shadow_scores_copies_of_answered_images_and_answers_no_caller_until_it_is_pinned(root: Path) -> None:
    with following(root, "--shadow", "3") as follower:
        until(lambda: follower.model().shadow_version == 3, "the shadow is loaded")
        assert follower.states() == {1: "SERVING", 2: "SERVING", 3: "AVAILABLE"}
        assert {follower.answer() for _ in range(20)} == {(2, 2)}
        until(lambda: agreement(follower, "false") == 20, "the shadow has scored every answer")
        assert agreement(follower, "true") == 0
        assert follower.server.metric("digits_shadow_confidence_difference_count") == 20
        assert follower.server.metric("digits_shadow_confidence_difference_sum") < 20
        assert refusal(lambda: follower.answer(3))[0] == "NOT_FOUND"
        assert follower.server.metric("digits_predictions_total", model_version="3") == 0
        root.joinpath("digits/pin.json").write_text('{"version": 3}')
        until(lambda: follower.answer() == (3, 3), "the version pinned answers")
        until(lambda: follower.model().shadow_version == 0, "nothing is compared")


def test_a_shadow_that_sees_the_same_agrees(root: Path, repository: Path) -> None:
    publish(repository, root, 12)  # answers 2, as version 2 would; 3 is the current one
    with following(root, "--shadow", "12") as follower:
        until(lambda: follower.model().shadow_version == 12, "the shadow is loaded")
        root.joinpath("digits/pin.json").write_text('{"version": 2}')
        until(lambda: follower.answer() == (2, 2), "version 2 answers")
        before = agreement(follower, "true")
        for _ in range(20):
            follower.answer()
        until(lambda: agreement(follower, "true") >= before + 20, "the shadow has scored every answer")


def share_of(follower: Follower, version: int, requests: int = 100) -> float:
    """The share of some requests that this version answers."""
    return [follower.answer()[0] for _ in range(requests)].count(version) / requests


def test_a_canary_starts_changes_and_ends_without_a_restart_and_answers_beside_a_pin(root: Path) -> None:
    with following(root) as follower:
        assert follower.answer() == (3, 3)
        models(root, "canary", "3", "--share", "0.1")
        until(lambda: follower.model().canary_version == 3, "the canary has begun")
        assert abs(share_of(follower, 3) - 0.1) <= 0.03
        models(root, "canary", "3", "--share", "50%")
        until(lambda: follower.model().canary_share == 0.5, "its share has changed")
        assert abs(share_of(follower, 3) - 0.5) <= 0.03
        assert models(root, "rollback")[0] == 0
        until(lambda: follower.model().canary_version == 0, "the canary has ended")
        assert share_of(follower, 2) == 1
        assert follower.model().pinned_version == 2
        root.joinpath("digits/pin.json").write_text('{"version": 1, "canaryVersion": 3, "canaryShare": 0.5}')
        until(lambda: {follower.answer()[0] for _ in range(10)} == {1, 3}, "the pin and the canary are followed")
        assert abs(share_of(follower, 3) - 0.5) <= 0.03
        assert abs(share_of(follower, 1) - 0.5) <= 0.03


def test_a_shadow_starts_changes_and_ends_without_a_restart(root: Path) -> None:
    with following(root) as follower:
        assert "digits_shadow_agreement_total" not in follower.server.get("/metrics")[1]
        models(root, "shadow", "2")
        until(lambda: follower.model().shadow_version == 2, "the shadow has begun")
        follower.answer()
        until(lambda: agreement(follower, "false") == 1, "it is compared")
        models(root, "shadow", "1")
        until(lambda: follower.model().shadow_version == 1, "the shadow is another version")
        follower.answer()
        until(lambda: agreement(follower, "false") == 2, "it is compared")
        models(root, "shadow", "--end")
        until(lambda: follower.model().shadow_version == 0, "the shadow has ended")
        assert follower.answer() == (3, 3)


def test_the_file_overrules_the_flags_and_its_end_hands_back_to_them(root: Path) -> None:
    pin = root / "digits/pin.json"
    pin.write_text('{"canaryVersion": 0, "shadowVersion": 0}')
    with following(root, "--canary", "3=50%", "--shadow", "2") as follower:
        follower.server.wait_for_log("--canary 3=50% has no effect: pin.json says that there is no canary")
        assert follower.answer() == (3, 3)
        assert (follower.model().canary_version, follower.model().shadow_version) == (0, 0)
        pin.unlink()
        until(lambda: follower.model().canary_version == 3, "the canary of the flag has begun")
        until(lambda: follower.model().shadow_version == 2, "the shadow of the flag has begun")


@pytest.mark.parametrize(
    ("flags", "versions", "sentence"),
    [
        (("--canary", "9=50%"), (1, 2), "version 9 is the canary but is not in the repository"),
        (("--canary", "2=50%", "--shadow", "2"), (2, 1), "version 2 is both the canary and the shadow"),
        (("--canary", "2=50%"), (2,), "version 2 is the canary but no other version is good: it answers every"),
        (("--shadow", "9"), (1, 2), "version 9 is the shadow but is not in the repository"),
    ],
)
def test_a_version_that_cannot_be_tried_out_is_reported_and_the_best_version_answers(
    repository: Path, tmp_path: Path, flags: tuple[str, ...], versions: tuple[int, ...], sentence: str
) -> None:
    """The last of `versions` is the best one that may answer."""
    for version in versions:
        publish(repository, tmp_path, version)
    answers = versions[-1]
    with following(tmp_path, *flags) as follower:
        follower.server.wait_for_log(sentence)
        assert {follower.answer() for _ in range(20)} == {(answers, answers)}


def test_a_shadow_that_is_the_only_version_is_reported_at_the_start(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 2)
    ended = run_server("--repository", tmp_path, "--shadow", "2")
    assert ended.returncode == 1
    assert "version 2 is the shadow, which answers no request, and no other version is good" in ended.stderr


def test_images_beyond_the_shadows_time_are_shed_but_answered(root: Path) -> None:
    with following(root, "--shadow", "3") as follower, follower.server.channel() as channel:
        until(lambda: follower.model().shadow_version == 3, "the shadow is loaded")
        stub = PredictionServiceStub(channel)
        for _ in range(4):
            assert stub.Predict(PredictRequest(images=bytes(784 * 5000)), timeout=DEADLINE).model_version == 2
        total = 4 * 5000

        def accounted() -> float:
            return follower.server.metric("digits_shadow_shed_total") + follower.server.metric(
                "digits_shadow_agreement_total"
            )

        until(lambda: accounted() == total, "every image was compared or shed")
        assert follower.server.metric("digits_shadow_shed_total") > 0

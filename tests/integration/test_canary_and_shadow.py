"""A version proves itself on real traffic: on a share of it, or on copies of all of it."""

from pathlib import Path

import pytest
from support.following import Follower, following
from support.rpc import DEADLINE, refusal
from support.servers import OVER_BOTH_TRANSPORTS, run_server
from support.variants import publish
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

REQUESTS = 400


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository of the versions 1 to 3."""
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    return tmp_path


def agreement(follower: Follower, agrees: str) -> float:
    return follower.server.metric("digits_shadow_agreement_total", agrees=agrees)


def test_the_canary_gets_its_share_of_the_requests_that_name_no_version(root: Path) -> None:
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


def test_a_pin_ends_the_canary(root: Path) -> None:
    with following(root, "--canary", "3=50%") as follower:
        until(lambda: follower.model().canary_version == 3, "the canary answers")
        root.joinpath("digits/pin.json").write_text('{"version": 1}')
        until(lambda: follower.model().pinned_version == 1, "the pin is followed")
        until(lambda: follower.answer() == (1, 1), "the version pinned answers")
        assert {follower.answer() for _ in range(50)} == {(1, 1)}
        assert follower.model().canary_version == 0


def test_a_bad_canary_gets_nothing(root: Path) -> None:
    root.joinpath("digits/3/model.tflite").write_bytes(b"spoilt")
    with following(root, "--canary", "3=50%") as follower:
        follower.wait_for({1: "SERVING", 2: "SERVING", 3: "REJECTED"})
        assert {follower.answer() for _ in range(50)} == {(2, 2)}


@pytest.mark.parametrize("value", ["3", "3=5", "3=0%", "3=101%", "x=5%", "0=5%", "3=nan%"])
def test_a_canary_is_a_version_and_a_share(root: Path, value: str) -> None:
    ended = run_server("--repository", root, "--canary", value)
    assert ended.returncode == 2
    assert "is not a version and its share" in ended.stderr


def test_the_shadow_scores_copies_of_what_was_answered_and_answers_nobody(root: Path) -> None:
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


def test_a_shadow_that_is_pinned_answers_and_is_compared_no_more(root: Path) -> None:
    with following(root, "--shadow", "3") as follower:
        until(lambda: follower.model().shadow_version == 3, "the shadow is loaded")
        root.joinpath("digits/pin.json").write_text('{"version": 3}')
        until(lambda: follower.answer() == (3, 3), "the version pinned answers")
        until(lambda: follower.model().shadow_version == 0, "nothing is compared")


def test_more_than_the_shadow_has_time_for_is_shed_and_answered_all_the_same(root: Path) -> None:
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

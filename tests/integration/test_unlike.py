"""The score of how unlike a digit an image is: only for callers that request it, over every protocol."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.open_inference import grpc_request, grpc_tensors, post, rest_request, rest_tensors
from support.calls.rpc import DEADLINE, raw_call, refusal
from support.models.repositories import copy_version
from support.servers.arrangements import server_process
from support.servers.process import OVER_BOTH_TRANSPORTS, SCRIPTS, ServerProcess
from support.waiting import until

from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import AsyncClient, Client, InvalidInput
from digits_training.conversion.litert import litert_probabilities

pytestmark = OVER_BOTH_TRANSPORTS

ROOT = Path(__file__).parents[2]
Images = NDArray[np.uint8]
PREDICT = "/digits.v1.PredictionService/Predict"
WITHOUT = "unlike: model version 1 does not give this score; only versions with unlike.tflite do, served with LiteRT"


@pytest.fixture(scope="module")
def server(
    repository: Path, scored_repository: Path, transport: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """Version 2 has the score and is the current one; version 1 does not have it."""
    root = tmp_path_factory.mktemp(transport)
    copy_version(repository, root, 1)
    copy_version(scored_repository, root, 2)
    with server_process(transport, "--repository", root) as running:
        running.wait_ready()
        until(lambda: running.get("/v2/models/digits/versions/1/ready")[0] == 200, "version 1 answers, too")
        yield running


@pytest.fixture(scope="module")
def images(test_images: Images) -> Images:
    """600 digits, then 100 images of noise."""
    noise = np.random.default_rng(1).integers(0, 256, (100, 28, 28), np.uint8)
    return np.concatenate([test_images[:600], noise])


@pytest.fixture(scope="module")
def expected(scored_repository: Path, images: Images) -> NDArray[np.float32]:
    distances = litert_probabilities(scored_repository / "digits/1/unlike.tflite", images)
    assert distances.shape == (700, 10)
    lowest: NDArray[np.float32] = distances.min(axis=1)
    return lowest


def near(expected: NDArray[np.float32]) -> object:
    return pytest.approx(expected, rel=1e-4)


def test_each_image_gets_its_own_score_with_any_other_options(
    stub: PredictionServiceStub, images: Images, expected: NDArray[np.float32]
) -> None:
    for part in (slice(0, 1), slice(3, 10), slice(0, 700)):
        for probabilities in (False, True):
            request = PredictRequest(
                images=images[part].tobytes(), include_unlike=True, include_probabilities=probabilities
            )
            reply = stub.Predict(request, timeout=DEADLINE)
            assert np.array(reply.unlike, np.float32) == near(expected[part])
            plain = stub.Predict(PredictRequest(images=images[part].tobytes()), timeout=DEADLINE)
            assert list(reply.digits) == list(plain.digits)
            assert len(reply.probabilities) == len(reply.digits) * 10 * probabilities
    stream = [PredictRequest(images=images[:5].tobytes(), include_unlike=ask) for ask in (True, False, True)]
    scores = [list(reply.unlike) for reply in stub.PredictStream(iter(stream), timeout=DEADLINE)]
    assert [len(each) for each in scores] == [5, 0, 5]
    assert np.array(scores[2], np.float32) == near(expected[:5])


def test_noise_is_above_1_and_few_digits_are(expected: NDArray[np.float32]) -> None:
    assert (expected[600:] > 1).all()
    assert (expected[:600] > 1).mean() < 0.1


def test_a_request_without_unlike_gets_the_bytes_of_the_four_fields(server: ServerProcess, images: Images) -> None:
    with server.channel() as channel:
        for count in (1, 40):
            request = PredictRequest(images=images[:count].tobytes(), include_probabilities=count > 1)
            data = raw_call(channel, PREDICT, request.SerializeToString())
            reply = PredictResponse.FromString(data)
            four = PredictResponse(
                digits=reply.digits,
                confidences=reply.confidences,
                probabilities=reply.probabilities,
                model_version=2,
            )
            assert data == four.SerializeToString(deterministic=True)


def test_a_version_without_the_score_says_so_and_answers_without_it(
    stub: PredictionServiceStub, images: Images
) -> None:
    request = PredictRequest(images=images[:1].tobytes(), model_version=1, include_unlike=True)
    assert refusal(lambda: stub.Predict(request, timeout=DEADLINE)) == ("INVALID_ARGUMENT", WITHOUT)
    request.include_unlike = False
    assert len(stub.Predict(request, timeout=DEADLINE).digits) == 1


def test_the_open_inference_protocol_has_it_as_an_output_that_must_be_named(
    server: ServerProcess, images: Images, expected: NDArray[np.float32]
) -> None:
    model, some = f"{server.http}/v2/models/digits", images[:3]
    for form in ("flat", "binary"):
        body, headers = rest_request(some, (3, 28, 28), form=form, outputs=["unlike", "digits"])
        status, returned, answer = post(f"{model}/infer", body, headers)
        assert status == 200, answer
        assert rest_tensors(answer, returned)["unlike"] == near(expected[:3])
    body, headers = rest_request(some, (3, 28, 28), form="flat")
    _, returned, answer = post(f"{model}/infer", body, headers)
    assert rest_tensors(answer, returned).keys() == {"digits", "confidences", "probabilities"}
    body, headers = rest_request(some, (3, 28, 28), form="flat", outputs=["unlike"])
    status, _, answer = post(f"{model}/versions/1/infer", body, headers)
    assert (status, json.loads(answer)) == (400, {"error": WITHOUT})
    told = [json.loads(post(f"{model}/versions/{each}", b"", method="GET")[2])["properties"] for each in (1, 2)]
    assert ["unlike" in each for each in told] == [False, True]
    with server.channel() as channel:
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        for raw in (False, True):
            reply = infer(grpc_request(some, (3, 28, 28), raw=raw, outputs=["unlike"]), timeout=DEADLINE)
            assert grpc_tensors(reply)["unlike"] == near(expected[:3])


def test_the_command_shows_it_if_asked(server: ServerProcess) -> None:
    def predict(*options: str) -> str:
        command: list[str | Path] = [
            SCRIPTS / "digits",
            "predict",
            "--target",
            server.target,
            *options,
            ROOT / "docs/digit.png",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout

    score = json.loads(predict("--json", "--unlike"))["unlike"]
    assert predict("--unlike").split()[-2:] == ["unlike", f"{score:.2f}"]
    assert "unlike" not in predict("--json")


def test_the_images_above_1_are_counted_among_those_that_were_asked_about(
    server: ServerProcess, stub: PredictionServiceStub, images: Images, expected: NDArray[np.float32]
) -> None:
    def counts() -> NDArray[np.float64]:
        return np.array([server.metric("digits_unlike_scores_total", above_1=value) for value in ("true", "false")])

    before = counts()
    stub.Predict(PredictRequest(images=images.tobytes()), timeout=DEADLINE)
    assert (counts() == before).all()
    stub.Predict(PredictRequest(images=images.tobytes(), include_unlike=True), timeout=DEADLINE)
    above = int((expected > 1).sum())
    assert list(counts() - before) == [above, 700 - above]


def test_the_client_returns_it_from_every_call(
    server: ServerProcess, images: Images, expected: NDArray[np.float32]
) -> None:
    with Client(server.target, timeout=DEADLINE) as client:
        assert client.predict(images[0]).unlike is None
        asked = client.predict(images[0], unlike=True)
        assert asked.unlike == pytest.approx(float(expected[0]), rel=1e-4)
        assert (asked.probabilities, asked.label) == (None, None)
        assert client.predict(images[0], unlike=True, probabilities=True, labels=True).label == str(asked.digit)
        batch = client.predict_batch(images, unlike=True)
        assert batch.unlike is not None
        assert batch.unlike == near(expected)
        assert batch[600].unlike == pytest.approx(float(expected[600]), rel=1e-4)
        assert batch[600:].unlike == near(expected[600:])
        assert client.predict_batch([], unlike=True).unlike is not None
        assert client.predict_batch(images[:2]).unlike is None
        for several in (client.predict_iter, client.predict_stream):
            found = [each.unlike for each in several(images[:3], unlike=True)]
            assert found == near(expected[:3])
        with pytest.raises(InvalidInput, match="does not give this score"):
            client.predict(images[0], unlike=True, model_version=1)

    async def gathered() -> list[float | None]:
        async with AsyncClient(server.target, timeout=DEADLINE) as client:
            answers = await asyncio.gather(*(client.predict(image, unlike=True) for image in images[:20]))
            assert (await client.predict_batch(images[:3], unlike=True)).unlike == near(expected[:3])
            return [answer.unlike for answer in answers]

    assert asyncio.run(gathered()) == near(expected[:20])

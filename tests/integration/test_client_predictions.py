"""Both clients against a real server: every kind and number of images get their own answers."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.client.both import Connect
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits_client import Client, InvalidInput, NotFound, Predictions, ResourceExhausted
from digits_training.data import read

pytestmark = OVER_BOTH_TRANSPORTS

Images = NDArray[np.uint8]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(connect: Connect, server: ServerProcess) -> Client:
    return connect(server.target, timeout=60)


@pytest.fixture(scope="module")
def expected(server: ServerProcess, test_images: Images) -> NDArray[np.float32]:
    """The probabilities of the first 300 test images, each requested separately."""
    with Client(server.target, timeout=60) as client:
        rows = [client.predict(image, probabilities=True).probabilities for image in test_images[:300]]
    return np.array(rows)


@pytest.fixture(scope="module")
def every(server: ServerProcess, test_images: Images) -> Predictions:
    """The answers for all test images."""
    with Client(server.target, timeout=60) as client:
        return client.predict_batch(test_images, probabilities=True)


def png(pixels: Images) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_array_is_answered_with_digit_confidence_and_version(
    client: Client, test_images: Images, test_labels: NDArray[np.uint8]
) -> None:
    result = client.predict(test_images[0])
    assert result.digit == test_labels[0] == 7
    assert 0.5 < result.confidence <= 1
    assert result.model_version == 1
    assert result.probabilities is None


def test_probabilities_come_when_asked_for(client: Client, test_images: Images) -> None:
    result = client.predict(test_images[0], probabilities=True)
    assert result.probabilities is not None
    assert result.probabilities.shape == (10,)
    assert result.probabilities.dtype == np.float32
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert int(result.probabilities.argmax()) == result.digit
    assert float(result.probabilities.max()) == pytest.approx(result.confidence)


def test_bytes_paths_and_pillow_images_of_one_picture_get_one_answer(client: Client) -> None:
    path = ROOT / "docs/digit.png"
    with Image.open(path) as picture:
        forms: list[Any] = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), picture]
        answers = [client.predict(form) for form in forms]
        many = client.predict_batch(forms)
    assert len({answer.digit for answer in answers}) == 1
    assert len({round(answer.confidence, 5) for answer in answers}) == 1
    assert list(many.digits) == [answer.digit for answer in answers]


def test_seventy_thousand_images_are_one_call(client: Client, test_labels: NDArray[np.uint8]) -> None:
    data = read(None)
    images = np.concatenate([data.train.images, data.test.images])
    assert len(images) == 70_000
    result = client.predict_batch(images)
    labels = np.concatenate([data.train.labels, data.test.labels])
    accuracy = client.model().manifest.metrics.test_accuracy
    assert len(result) == 70_000
    assert (result.digits[60_000:] == test_labels).mean() == pytest.approx(accuracy, abs=1e-9)
    assert (result.digits == labels).mean() > 0.9
    assert set(result.model_versions) == {1}


def test_a_batch_keeps_the_order_of_a_mixed_list(
    client: Client, test_images: Images, expected: NDArray[np.float32], tmp_path: Path
) -> None:
    def in_some_form(index: int) -> Any:
        image = test_images[index]
        if index % 5 == 0:
            path = tmp_path / f"{index}.png"
            path.write_bytes(png(image))
            return path
        return png(image) if index % 5 == 1 else image

    mixed = [in_some_form(index) for index in range(300)]
    result = client.predict_batch(mixed, probabilities=True)
    alone = np.array([client.predict(image, probabilities=True).probabilities for image in mixed])
    assert result.probabilities is not None
    assert np.allclose(result.probabilities, alone, atol=1e-5)
    arrays = [index for index in range(300) if index % 5 > 1]
    assert np.allclose(result.probabilities[arrays], expected[arrays], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_a_batch_has_an_answer_for_each_image_in_order(
    client: Client, test_images: Images, every: Predictions, count: int
) -> None:
    result = client.predict_batch(test_images[:count], probabilities=True)
    assert result.probabilities is not None
    assert every.probabilities is not None
    assert result.probabilities.shape == (count, 10)
    assert np.array_equal(result.digits, every.digits[:count])
    assert np.allclose(result.probabilities, every.probabilities[:count], atol=1e-5)


@pytest.mark.parametrize("empty", [[], (), np.empty((0, 28, 28), np.uint8)], ids=["list", "tuple", "array"])
def test_no_images_are_an_empty_answer(client: Client, empty: Any) -> None:
    result = client.predict_batch(empty)
    assert len(result) == 0
    assert list(result) == []
    assert result.digits.dtype == np.uint8


def test_predictions_are_columns_and_a_sequence(client: Client, test_images: Images) -> None:
    result = client.predict_batch(test_images[:50])
    assert result.digits.dtype == np.uint8
    assert result.confidences.dtype == np.float32
    assert result.probabilities is None
    assert [item.digit for item in result] == list(result.digits)
    assert result[-1].confidence == result.confidences[49]
    assert len(result[10:20]) == 10
    assert str(result[0]) == f"7 ({result.confidences[0]:.1%}, model version 1)"
    assert repr(result) == "<Predictions of 50 images: [7 2 1 ... 2 4 4]>"


def test_only_the_named_version_answers(client: Client, test_images: Images) -> None:
    assert client.predict(test_images[0], model_version=1).model_version == 1
    with pytest.raises(NotFound, match="99"):
        client.predict(test_images[0], model_version=99)
    with pytest.raises(NotFound, match="99"):
        client.predict_batch(test_images[:3], model_version=99)


def test_bytes_that_are_not_a_picture_are_refused_by_the_server(client: Client) -> None:
    with pytest.raises(InvalidInput):
        client.predict(b"no picture")


def test_a_picture_beyond_the_servers_limit_is_refused_naming_the_limit(client: Client) -> None:
    with pytest.raises(ResourceExhausted, match=r"\d"):
        client.predict(png(np.zeros((5000, 5000), np.uint8)))


def test_the_served_model_is_described(client: Client) -> None:
    model = client.model()
    assert model.manifest.model_name == "digits"
    assert model.manifest.model_version == 1
    assert model.runtime == "litert"
    assert [item.version for item in model.versions] == [1]


def test_two_thousand_calls_at_once_are_two_thousand_answers_and_few_rpcs(
    client: Client, server: ServerProcess, test_images: Images
) -> None:
    alone = client.predict_batch(test_images[:2000], probabilities=True).probabilities
    images, calls = server.metric("digits_predictions_total"), started(server)
    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(lambda image: client.predict(image, probabilities=True), test_images[:2000]))
    assert alone is not None
    assert np.allclose(np.array([answer.probabilities for answer in answers]), alone, atol=1e-5)
    assert server.metric("digits_predictions_total") - images == 2000
    assert started(server) - calls < 1000


def started(server: ServerProcess) -> float:
    return server.metric("grpc_server_started_total", grpc_method="Predict")


def test_an_iterator_answers_for_arrays_and_pictures_as_a_batch_does(client: Client, test_images: Images) -> None:
    mixed: list[Any] = [png(image) if index % 7 == 0 else image for index, image in enumerate(test_images[:200])]
    assert [item.digit for item in client.predict_iter(iter(mixed))] == list(client.predict_batch(mixed).digits)


def test_a_ready_server_is_waited_for_no_longer(client: Client) -> None:
    client.wait_ready(30)
    assert client.health()


def test_a_client_connects_before_its_server_is_ready(connect: Connect, repository: Path) -> None:
    with ServerProcess("--repository", repository) as starting:
        client = connect(starting.target)
        client.wait_ready(60)
        assert client.health()
        assert client.predict(np.zeros((28, 28), np.uint8)).model_version == 1


@pytest.mark.parametrize("form", ["localhost:{0}", "dns:///localhost:{0}", "ipv4:127.0.0.1:{0}", "ipv4:{1},{1}"])
def test_a_server_is_reached_by_every_form_of_target(connect: Connect, server: ServerProcess, form: str) -> None:
    target = form.format(server.target.rpartition(":")[2], server.target)
    assert connect(target, timeout=60).predict(np.zeros((28, 28), np.uint8)).model_version == 1

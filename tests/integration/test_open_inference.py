"""The Open Inference Protocol at a real server: the same answers in every form, the right status for what is wrong."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray
from support.open_inference import Tensors, grpc_message, grpc_request, grpc_tensors, post, rest_request, rest_tensors
from support.rpc import DEADLINE, refusal
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.inference import inference_pb2 as messages
from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

COUNT = 200
FILE = Path(__file__).parents[2].joinpath("docs/digit.png").read_bytes()
INFER = "/v2/models/digits/infer"
PIXELS = np.zeros((1, 784), np.uint8)


@pytest.fixture
def inference(server: ServerProcess) -> Iterator[GRPCInferenceServiceStub]:
    with server.channel() as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture
def images(test_images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return test_images[:COUNT]


@pytest.fixture
def expected(stub: PredictionServiceStub, images: NDArray[np.uint8]) -> Tensors:
    """What digits.v1 answers."""
    request = PredictRequest(images=images.tobytes(), include_probabilities=True)
    reply = stub.Predict(request, timeout=DEADLINE)
    return {
        "digits": np.array(reply.digits),
        "confidences": np.array(reply.confidences, np.float32),
        "probabilities": np.array(reply.probabilities, np.float32).reshape(-1, 10),
    }


def check(tensors: Tensors, expected: Tensors) -> None:
    assert list(tensors) == ["digits", "confidences", "probabilities"]
    for name, tensor in tensors.items():
        np.testing.assert_allclose(tensor, expected[name], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("form", ["raw", "typed"])
def test_a_message_gets_the_answers_of_predict_raw_for_raw(
    inference: GRPCInferenceServiceStub,
    images: NDArray[np.uint8],
    expected: Tensors,
    form: str,
    dtype: type[np.generic],
) -> None:
    request = grpc_request(images.astype(dtype), images.shape, raw=form == "raw")
    reply = inference.ModelInfer(request, timeout=DEADLINE)
    assert bool(reply.raw_output_contents) == (form == "raw")
    check(grpc_tensors(reply), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("form", ["flat", "nested", "binary"])
def test_a_body_gets_the_answers_of_predict_binary_on_request(
    server: ServerProcess, images: NDArray[np.uint8], expected: Tensors, form: str, dtype: type[np.generic]
) -> None:
    parameters = {"binary_data_output": form == "binary"}
    request = rest_request(images.astype(dtype), images.shape, form=form, parameters=parameters)
    status, headers, answer = post(server.http + INFER, *request)
    assert status == 200
    assert headers["content-type"] == ("application/octet-stream" if form == "binary" else "application/json")
    check(rest_tensors(answer, headers), expected)


@pytest.mark.parametrize("of_all", [True, False, None])
def test_outputs_that_say_nothing_have_the_form_that_the_request_asks_of_all(
    server: ServerProcess, expected: Tensors, images: NDArray[np.uint8], of_all: bool | None
) -> None:
    body, headers = rest_request(images, images.shape, form="flat", parameters={"binary_data_output": of_all})
    outputs: list[dict[str, object]] = [
        {"name": "digits"},
        {"name": "confidences", "parameters": {"binary_data": True}},
        {"name": "probabilities", "parameters": {"binary_data": False}},
    ]
    body = json.dumps(json.loads(body) | {"outputs": outputs}).encode()
    status, headers, answer = post(server.http + INFER, body, headers)
    assert status == 200
    check(rest_tensors(answer, headers), expected)
    described = json.loads(answer[: int(headers["inference-header-content-length"])])["outputs"]
    assert ["data" not in output for output in described] == [bool(of_all), True, False]


def test_an_image_file_gets_the_answer_of_predict(
    server: ServerProcess, inference: GRPCInferenceServiceStub, stub: PredictionServiceStub
) -> None:
    expected = stub.Predict(PredictRequest(image_files=[FILE] * 2), timeout=DEADLINE)
    tensor = {"name": "image_files", "datatype": "BYTES", "shape": [2]}
    typed = grpc_message(model_name="digits", inputs=[tensor | {"contents": {"bytes_contents": [FILE] * 2}}])
    tensors = grpc_tensors(inference.ModelInfer(typed, timeout=DEADLINE))
    prefixed = (len(FILE).to_bytes(4, "little") + FILE) * 2
    raw = grpc_message(model_name="digits", inputs=[tensor], raw_input_contents=[prefixed])
    for again in (
        grpc_tensors(inference.ModelInfer(raw, timeout=DEADLINE)),
        rest_tensors(post(server.http + INFER, rest_files(2))[2], {}),
    ):
        np.testing.assert_array_equal(again["probabilities"], tensors["probabilities"])
    assert tensors["digits"].tolist() == list(expected.digits) == [7, 7]


def rest_files(count: int) -> bytes:
    data = [b64encode(FILE).decode()] * count
    tensor = {"name": "image_files", "datatype": "BYTES", "shape": [count], "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def test_the_id_comes_back(server: ServerProcess, inference: GRPCInferenceServiceStub) -> None:
    request = grpc_request(PIXELS, [1, 784], raw=True)
    assert inference.ModelInfer(request, timeout=DEADLINE).id == ""
    request.id = "a name/of mine"
    assert inference.ModelInfer(request, timeout=DEADLINE).id == "a name/of mine"
    body, headers = rest_request(PIXELS, [1, 784], form="flat", id="a name/of mine")
    assert json.loads(post(server.http + INFER, body, headers)[2])["id"] == "a name/of mine"
    body, headers = rest_request(PIXELS, [1, 784], form="flat")
    assert "id" not in json.loads(post(server.http + INFER, body, headers)[2])


def test_only_the_outputs_asked_for_come_and_in_their_order(
    server: ServerProcess, inference: GRPCInferenceServiceStub
) -> None:
    wanted = ["probabilities", "digits"]
    reply = inference.ModelInfer(grpc_request(PIXELS, [1, 784], raw=False, outputs=wanted), timeout=DEADLINE)
    assert list(grpc_tensors(reply)) == wanted
    body, headers = rest_request(PIXELS, [1, 784], form="flat", outputs=wanted)
    _, headers, answer = post(server.http + INFER, body, headers)
    assert list(rest_tensors(answer, headers)) == wanted


def test_the_version_that_answers_is_named(server: ServerProcess, inference: GRPCInferenceServiceStub) -> None:
    for asked in ("", "1"):
        request = grpc_request(PIXELS, [1, 784], raw=True)
        request.model_version = asked
        reply = inference.ModelInfer(request, timeout=DEADLINE)
        assert (reply.model_name, reply.model_version) == ("digits", "1")
    for path in (INFER, "/v2/models/digits/versions/1/infer"):
        answer = json.loads(post(server.http + path, *rest_request(PIXELS, [1, 784], form="flat"))[2])
        assert (answer["model_name"], answer["model_version"]) == ("digits", "1")


def test_a_ready_server_says_so(server: ServerProcess, inference: GRPCInferenceServiceStub) -> None:
    assert inference.ServerLive(messages.ServerLiveRequest(), timeout=DEADLINE).live
    assert inference.ServerReady(messages.ServerReadyRequest(), timeout=DEADLINE).ready
    for asked in ("", "1"):
        request = messages.ModelReadyRequest(name="digits", version=asked)
        assert inference.ModelReady(request, timeout=DEADLINE).ready
    assert server.get("/v2/health/live") == (200, '{"live":true}')
    assert server.get("/v2/health/ready") == (200, '{"ready":true}')
    for path in ("/v2/models/digits/ready", "/v2/models/digits/versions/1/ready"):
        assert server.get(path) == (200, '{"name":"digits","ready":true}')


def test_metadata_is_the_same_over_both(server: ServerProcess, inference: GRPCInferenceServiceStub) -> None:
    about = inference.ServerMetadata(messages.ServerMetadataRequest(), timeout=DEADLINE)
    expected = {"name": "digits-server", "version": version("digits-server"), "extensions": ["binary_tensor_data"]}
    assert {"name": about.name, "version": about.version, "extensions": list(about.extensions)} == expected
    for path in ("/v2", "/v2/"):
        assert json.loads(server.get(path)[1]) == expected
    model = inference.ModelMetadata(messages.ModelMetadataRequest(name="digits"), timeout=DEADLINE)
    for path in ("/v2/models/digits", "/v2/models/digits/versions/1"):
        assert json.loads(server.get(path)[1]) == {
            "name": "digits",
            "versions": ["1"],
            "platform": "litert_tflite",
            "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}],
            "outputs": [
                {"name": "digits", "datatype": "INT64", "shape": [-1]},
                {"name": "confidences", "datatype": "FP32", "shape": [-1]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            ],
            "properties": dict(model.properties),
        }
    assert (model.name, list(model.versions), model.platform) == ("digits", ["1"], "litert_tflite")
    assert [(item.name, item.datatype, list(item.shape)) for item in model.inputs] == [
        ("images", "UINT8", [-1, 28, 28])
    ]
    assert [item.name for item in model.outputs] == ["digits", "confidences", "probabilities"]


STRANGERS = {
    "another model": ("cats", "", "expected digits"),
    "no model": ("", "", "expected digits"),
    "an unknown version": ("digits", "9", "9"),
    "version 0": ("digits", "0", "positive integer"),
    "a negative version": ("digits", "-1", "positive integer"),
    "a version that is no number": ("digits", "latest", "positive integer"),
    "a version of other digits": ("digits", "١", "positive integer"),
    "an endless version": ("digits", "1" * 5000, "positive integer"),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_an_unknown_model_or_version_is_not_found(inference: GRPCInferenceServiceStub, case: str) -> None:
    name, number, words = STRANGERS[case]
    request = grpc_request(PIXELS, [1, 784], raw=True)
    request.model_name, request.model_version = name, number
    for call in (
        lambda: inference.ModelInfer(request, timeout=DEADLINE),
        lambda: inference.ModelReady(messages.ModelReadyRequest(name=name, version=number), timeout=DEADLINE),
        lambda: inference.ModelMetadata(messages.ModelMetadataRequest(name=name, version=number), timeout=DEADLINE),
    ):
        status, message = refusal(call)
        assert status == "NOT_FOUND"
        assert words in message


SPELLINGS = {"1": True, "01": True, "0001": True} | dict.fromkeys(
    ("+1", "-1", " 1", "1 ", "\u0663", "\u0661", "1_0", "0_1", "1.0", "1e0", "0x1", "0", "00", "v1", "1\n", "1" * 19),
    False,
)
"""Ways to write version 1, and whether they do."""


@pytest.mark.parametrize(("spelling", "known"), SPELLINGS.items())
def test_a_version_is_read_the_same_way_by_every_door(
    server: ServerProcess, inference: GRPCInferenceServiceStub, spelling: str, *, known: bool
) -> None:
    path = f"{server.http}/v2/models/digits/versions/{quote(spelling)}"
    body, headers = rest_request(PIXELS, [1, 784], form="binary")
    over_http = {
        "infer": post(f"{path}/infer", body, headers)[0],
        "ready": server.get(f"{path.removeprefix(server.http)}/ready")[0],
        "metadata": server.get(path.removeprefix(server.http))[0],
    }
    assert over_http == dict.fromkeys(over_http, 200 if known else 404)

    infer = grpc_request(PIXELS, [1, 784], raw=True)
    infer.model_version = spelling
    ready = messages.ModelReadyRequest(name="digits", version=spelling)
    metadata = messages.ModelMetadataRequest(name="digits", version=spelling)
    asks: list[Callable[[], object]] = [
        lambda: inference.ModelInfer(infer, timeout=DEADLINE).model_version,
        lambda: inference.ModelReady(ready, timeout=DEADLINE).ready,
        lambda: inference.ModelMetadata(metadata, timeout=DEADLINE).name,
    ]
    if known:
        assert [ask() for ask in asks] == ["1", True, "digits"]
    else:
        assert {refusal(ask)[0] for ask in asks} == {"NOT_FOUND"}


@pytest.mark.parametrize("model", ["cats", "digits/versions/9", "digits/versions/latest", "digits/versions/0"])
def test_an_unknown_model_or_version_is_404(server: ServerProcess, model: str) -> None:
    body, headers = rest_request(PIXELS, [1, 784], form="flat")
    url = f"{server.http}/v2/models/{model}"
    for status, _, answer in (
        post(f"{url}/infer", body, headers),
        post(url, b"", method="GET"),
        post(f"{url}/ready", b"", method="GET"),
    ):
        assert status == 404
        assert list(json.loads(answer)) == ["error"]


def test_bad_tensors_are_an_invalid_argument_with_a_sentence(inference: GRPCInferenceServiceStub) -> None:
    request = grpc_request(PIXELS, [2, 784], raw=True)
    status, message = refusal(lambda: inference.ModelInfer(request, timeout=DEADLINE))
    assert status == "INVALID_ARGUMENT"
    assert message == "images: expected 1568 bytes for UINT8 of the shape [2, 784], got 784"


def test_bad_bodies_are_400_with_a_sentence(server: ServerProcess) -> None:
    status, headers, answer = post(server.http + INFER, *rest_request(PIXELS, [2, 784], form="flat"))
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(answer) == {"error": "images: expected 1568 elements for the shape [2, 784], got 784"}


def test_what_the_protocol_does_not_have_is_404_in_its_way(server: ServerProcess) -> None:
    for method, path in (
        ("GET", "/v2/models/digits/config"),
        ("GET", INFER),
        ("POST", "/v2/health/live"),
        ("DELETE", "/v2/x"),
    ):
        status, _, answer = post(server.http + path, b"", method=method)
        assert (status, list(json.loads(answer))) == (404, ["error"])


def test_a_compressed_request_is_refused_and_told_what_is_taken(server: ServerProcess) -> None:
    status, headers, answer = post(server.http + INFER, b"x", {"content-encoding": "gzip"})
    assert (status, headers["accept-encoding"]) == (415, "identity")
    assert "identity" in json.loads(answer)["error"]


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 12 * 1024 * 1024])
def test_a_body_over_the_limit_names_it(server: ServerProcess, size: int) -> None:
    status, _, answer = post(server.http + INFER, bytes(size))
    assert status == 413
    assert "max_message_bytes" in json.loads(answer)["error"]


def test_a_body_of_exactly_the_limit_is_read(server: ServerProcess) -> None:
    body, headers = rest_request(PIXELS, [1, 784], form="flat")
    before, start, after = body.partition(b"[0,")
    assert start
    padding = b" " * (4 * 1024 * 1024 - len(body))
    assert post(server.http + INFER, before + start + padding + after, headers)[0] == 200


def test_every_answer_is_counted_under_its_route(server: ServerProcess) -> None:
    labels = {"route": "/v2/models/{name}/infer", "status": "200"}
    before = server.metric("digits_http_requests_total", **labels)
    rejected = server.metric("digits_rejected_total", reason="invalid")
    predicted = server.metric("digits_predictions_total")
    for _ in range(3):
        post(server.http + INFER, *rest_request(PIXELS, [1, 784], form="flat"))
        post(server.http + INFER, b"{}")
        post(server.http + "/v2/models/anything at all/infer".replace(" ", "%20"), b"{}")
    assert server.metric("digits_http_requests_total", **labels) == before + 3
    assert server.metric("digits_predictions_total") == predicted + 3
    assert server.metric("digits_rejected_total", reason="invalid") == rejected + 6
    routes = {dict(found).get("route", "") for name, found in server.samples() if name == "digits_http_requests_total"}
    assert not any("anything" in route for route in routes)

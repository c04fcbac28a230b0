"""The Open Inference Protocol at a real server: the answers of Predict, in every form."""

import json
from base64 import b64encode
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.open_inference import (
    INFER,
    PIXELS,
    Tensors,
    grpc_message,
    grpc_request,
    grpc_tensors,
    post,
    rest_request,
    rest_tensors,
)
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.inference import inference_pb2 as messages
from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS
COUNT = 200
FILE = Path(__file__).parents[3].joinpath("docs/digit.png").read_bytes()


@pytest.fixture
def images(test_images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return test_images[:COUNT]


@pytest.fixture
def expected(stub: PredictionServiceStub, images: NDArray[np.uint8]) -> Tensors:
    """The answers of digits.v1."""
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
def test_outputs_without_a_form_have_the_requests_form(
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

"""The Open Inference Protocol at a real server: the right status and a sentence for what is wrong."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from support.calls.open_inference import INFER, PIXELS, grpc_request, post, rest_request
from support.calls.rpc import DEADLINE, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.inference import inference_pb2 as messages
from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub

pytestmark = OVER_BOTH_TRANSPORTS
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
"""Spellings of version 1, and whether they are valid."""


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


def test_a_path_that_the_protocol_does_not_have_is_404_in_its_form(server: ServerProcess) -> None:
    for method, path in (
        ("GET", "/v2/models/digits/config"),
        ("GET", INFER),
        ("POST", "/v2/health/live"),
        ("DELETE", "/v2/x"),
    ):
        status, _, answer = post(server.http + path, b"", method=method)
        assert (status, list(json.loads(answer))) == (404, ["error"])


def test_a_compressed_request_is_refused_with_the_accepted_encoding(server: ServerProcess) -> None:
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

"""Bad input to the RPCs: one clear sentence, the right status, and no effect on other callers."""

from collections.abc import Iterator
from io import BytesIO

import grpc
import numpy as np
import pytest
from PIL import Image
from support.calls.rpc import DEADLINE, raw_call, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

IMAGE = bytes(784)


def png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("L", (width, height), 255).save(file, "PNG", compress_level=1)
    return file.getvalue()


BAD = {
    "no input": (PredictRequest(), "INVALID_ARGUMENT", "got neither"),
    "both inputs": (PredictRequest(images=IMAGE, image_files=[png(9, 9)]), "INVALID_ARGUMENT", "got both"),
    "one byte short": (PredictRequest(images=IMAGE[:-1]), "INVALID_ARGUMENT", "multiple of 784 bytes"),
    "one byte over": (PredictRequest(images=IMAGE + b"0"), "INVALID_ARGUMENT", "got 785"),
    "unknown version": (PredictRequest(images=IMAGE, model_version=9), "NOT_FOUND", "model_version: 9 is not served"),
    "negative version": (PredictRequest(images=IMAGE, model_version=-1), "NOT_FOUND", "model_version: -1"),
    "text as a file": (PredictRequest(image_files=[b"hello"]), "INVALID_ARGUMENT", "image_files[0]"),
    "an empty file": (PredictRequest(image_files=[b""]), "INVALID_ARGUMENT", "not a valid PNG, JPEG, WebP or GIF"),
    "a truncated file": (PredictRequest(image_files=[png(99, 99)[:-30]]), "INVALID_ARGUMENT", "image_files[0]"),
    "half a GIF": (PredictRequest(image_files=[b"GIF89a" + bytes(50)]), "INVALID_ARGUMENT", "not a valid PNG, JPEG"),
    "a BMP": (PredictRequest(image_files=[b"BM" + bytes(60)]), "INVALID_ARGUMENT", "not a valid PNG, JPEG"),
    "an empty page": (PredictRequest(image_files=[png(99, 99)]), "INVALID_ARGUMENT", "one even shade"),
    "too many pixels": (PredictRequest(image_files=[png(5000, 5000)]), "RESOURCE_EXHAUSTED", "max_image_pixels"),
    "too many pixels in all": (
        PredictRequest(image_files=[png(4000, 4000)] * 17),
        "RESOURCE_EXHAUSTED",
        "max_request_pixels",
    ),
    "too many files": (PredictRequest(image_files=[png(9, 9)] * 65), "RESOURCE_EXHAUSTED", "max_image_files"),
    "a message over the limit": (PredictRequest(images=bytes(784 * 5400)), "RESOURCE_EXHAUSTED", "4194304"),
}


@pytest.fixture(autouse=True)
def everyone_else_is_served(stub: PredictionServiceStub) -> Iterator[None]:
    yield
    assert len(stub.Predict(PredictRequest(images=IMAGE * 3), timeout=DEADLINE).digits) == 3


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_its_status_and_a_sentence_that_says_what_was_expected(
    stub: PredictionServiceStub, case: str
) -> None:
    request, status, words = BAD[case]
    found, message = refusal(lambda: stub.Predict(request, timeout=DEADLINE))
    assert found == status
    assert words in message
    assert "/" not in message, "a path"
    assert "Traceback" not in message


def test_a_file_that_is_not_a_picture_is_named_by_its_position(stub: PredictionServiceStub) -> None:
    digit = np.full((60, 60), 255, np.uint8)
    digit[10:50, 28:32] = 0
    file = BytesIO()
    Image.fromarray(digit).save(file, "PNG", compress_level=1)
    request = PredictRequest(image_files=[file.getvalue(), file.getvalue(), b"?"])
    _, message = refusal(lambda: stub.Predict(request, timeout=DEADLINE))
    assert message.startswith("image_files[2]:")


def test_bytes_that_are_not_a_message_are_an_invalid_argument(server: ServerProcess) -> None:
    with server.channel() as channel:
        status, message = refusal(lambda: raw_call(channel, "/digits.v1.PredictionService/Predict", b"\x0a\xff\xff"))
    assert status == "INVALID_ARGUMENT"
    assert "digits.v1.PredictRequest" in message


def test_an_unknown_method_is_unimplemented(server: ServerProcess) -> None:
    with server.channel() as channel:
        assert refusal(lambda: raw_call(channel, "/digits.v1.PredictionService/Guess", b""))[0] == "UNIMPLEMENTED"


def test_a_compressed_message_is_refused(server: ServerProcess, transport: str) -> None:
    request, gzip = PredictRequest(images=IMAGE * 100), grpc.Compression.Gzip
    with server.channel() as channel:
        stub = PredictionServiceStub(channel)
        if transport == "native":  # its library always decompresses; the limit applies to the result
            assert len(stub.Predict(request, timeout=DEADLINE, compression=gzip).digits) == 100
            return
        assert refusal(lambda: stub.Predict(request, timeout=DEADLINE, compression=gzip))[0] == "UNIMPLEMENTED"

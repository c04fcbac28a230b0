"""A message of more entries than a valid one can have is refused before protobuf makes an object of each."""

import pytest
from google.protobuf.message import DecodeError, Message

from digits.inference.inference_pb2 import ModelInferRequest
from digits.v1.prediction_pb2 import PredictRequest
from digits_server.errors import InvalidRequest
from digits_server.open_inference.grpc import infer_request
from digits_server.service.messages import parse_request
from digits_server.service.wire import MOST_ENTRIES, SMALL_BYTES, check_entries

MESSAGE_BYTES = 4 * 1024 * 1024
PICTURES = [b"a picture"] * 64


@pytest.mark.parametrize(
    ("message", "entry", "field"),
    [
        (ModelInferRequest, b"\x2a\x00", "inputs"),
        (ModelInferRequest, b"\x32\x00", "outputs"),
        (ModelInferRequest, b"\x3a\x00", "raw_input_contents"),
        (ModelInferRequest, b"\x22\x00", "parameters"),
        (ModelInferRequest, b"\x2a\x02\x22\x00", "inputs"),
        (PredictRequest, b"\x12\x00", "image_files"),
        (PredictRequest, b"\x98\x06\x01", "(unknown field)"),
    ],
)
def test_millions_of_entries_are_refused_by_the_name_of_their_field(
    message: type[Message], entry: bytes, field: str
) -> None:
    data = entry * (MESSAGE_BYTES // len(entry))
    with pytest.raises(InvalidRequest, match=f"expected a message of at most {MOST_ENTRIES}") as caught:
        check_entries(data, message)
    assert caught.value.message.startswith(field)


def test_entries_within_a_message_count_too() -> None:
    tensor = ModelInferRequest.InferInputTensor()
    tensor.contents.bytes_contents.extend([b""] * 100_000)
    with pytest.raises(InvalidRequest, match=r"inputs\.contents\.bytes_contents"):
        check_entries(ModelInferRequest(inputs=[tensor]).SerializeToString(), ModelInferRequest)


def test_fields_after_the_pixels_are_not_read_one_by_one_without_end() -> None:
    pixels = PredictRequest(images=bytes(784 * 11)).SerializeToString()
    with pytest.raises(InvalidRequest, match="model_version"):
        parse_request(pixels + b"\x18\x01" * 1_000_000)


def test_a_valid_message_of_any_size_passes() -> None:
    tensor = ModelInferRequest.InferInputTensor(name="images", datatype="UINT8", shape=[1000, 784])
    tensor.contents.uint_contents.extend([255] * 784_000)
    for message in (
        ModelInferRequest(model_name="digits", inputs=[tensor]),
        PredictRequest(images=bytes(784 * 5000), model_version=1),
        PredictRequest(image_files=PICTURES),
    ):
        check_entries(message.SerializeToString(), type(message))


@pytest.mark.parametrize(
    "end", [b"\x0a\xff", b"\x0a\xff\xff\xff\xff\x7f", b"\x18" + b"\xff" * 11, b"\x0f", b"\x09\x00"]
)
def test_bytes_that_do_not_fit_are_not_a_message(end: bytes) -> None:
    data = PredictRequest(images=bytes(SMALL_BYTES)).SerializeToString() + end
    with pytest.raises(DecodeError):
        PredictRequest.FromString(data)
    with pytest.raises(DecodeError):
        check_entries(data, PredictRequest)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_small_message_of_many_tensors_is_refused_by_their_number(field: str) -> None:
    message = b"\x2a\x00" * 9 if field == "inputs" else b"\x2a\x00" + b"\x32\x00" * 9
    with pytest.raises(InvalidRequest, match=rf"^{field}: expected .*, got 9$"):
        infer_request(message)

"""Runs the readers of untrusted bytes under a fuzzer that guides its inputs by code coverage.

    python -m support.attacks.fuzzing READER [libFuzzer options] CORPUS

feeds one of READERS until it raises an unexpected error, differs from its oracle, or reaches the limits in the options.
Interesting inputs go into the folder CORPUS. A failing input is written next to that folder and reported with its
traceback.
"""

import sys
from contextlib import suppress

import atheris
from google.protobuf.message import DecodeError

from digits.v1.prediction_pb2 import PredictRequest

ARRAYS = [
    "digits_server.pictures.images",
    *(f"digits_server.pictures.{name}" for name in ("components", "digit", "ink", "margin", "strokes")),
]
"""Modules that compare arrays, whose results atheris 3 never frees where it watches; they see pixels, not files."""

with atheris.instrument_imports(include=["digits_server"], exclude=ARRAYS):
    from digits_server.errors import InvalidRequest, ModelRejected, ServingError, Status
    from digits_server.open_inference import grpc, rest
    from digits_server.open_inference.inputs import images_or_files
    from digits_server.open_inference.protocol import InferRequest
    from digits_server.open_inference.tensors import requested
    from digits_server.pictures.images import from_file
    from digits_server.runtimes.tflite_model import check
    from digits_server.service.messages import parse_request
    from digits_server.service.wire import SMALL_BYTES

MOST_PIXELS = 1_000_000
MOST_IMAGES = 256


def message(data: bytes) -> None:
    """A PredictRequest: read or refused as protobuf does, or refused because it has too many entries."""
    try:
        expected = PredictRequest.FromString(data)
    except DecodeError:
        _refused(data)
        return
    try:
        images, files, *rest = parse_request(data)
    except InvalidRequest:
        assert len(data) >= SMALL_BYTES
        return
    asked = expected.model_version, expected.include_probabilities, expected.include_unlike
    assert (bytes(images), list(files), *rest) == (expected.images, list(expected.image_files), *asked)


def _refused(data: bytes) -> None:
    with suppress(DecodeError, InvalidRequest):
        read = parse_request(data)
        raise AssertionError(f"protobuf refuses what was read as {read}")


def picture(data: bytes) -> None:
    """An image file: a digit, or a sentence that names it."""
    try:
        digit = from_file(data, "image_files[0]", MOST_PIXELS)
    except ServingError as error:
        assert error.status in {Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}
        assert error.message.startswith("image_files[0]: ")
    else:
        assert (digit.shape, digit.dtype.name) == ((28, 28), "uint8")


def _understood(question: InferRequest) -> None:
    requested(question.outputs)
    inputs = images_or_files(question.inputs, 64)
    assert isinstance(inputs, list) or (inputs.shape[1:], inputs.dtype.name) == ((28, 28), "uint8")


def inference_message(data: bytes) -> None:
    """A ModelInferRequest: images, files, or a sentence."""
    with suppress(DecodeError):
        try:
            _understood(grpc.infer_request(data)[0])
        except ServingError as error:
            assert error.status in {Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}


def inference_json(data: bytes) -> None:
    """The same over HTTP; the first two bytes say how much of the body is JSON, 0 that there is nothing else."""
    length, body = int.from_bytes(data[:2], "big"), data[2:]
    try:
        question, _ = rest.infer_request(body, str(length) if length else None, "digits", "")
        _understood(question)
    except ServingError as error:
        assert error.status in {Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}


def model(data: bytes) -> None:
    """A model.tflite: accepted or refused."""
    with suppress(ModelRejected):
        check(data, MOST_IMAGES)


READERS = {reader.__name__: reader for reader in (message, picture, inference_message, inference_json, model)}


def main() -> None:
    atheris.Setup([sys.argv[0], *sys.argv[2:]], READERS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

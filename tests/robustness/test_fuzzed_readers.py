"""Inputs from a fuzzer: the readers keep their promises, with little memory and time for each."""

import os
import platform
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.calls.open_inference import grpc_request, rest_request
from support.models import hostile_models
from support.records import Record
from support.wire.mutations import VARINTS

from digits.v1.prediction_pb2 import PredictRequest

TESTS = Path(__file__).parents[1]
DIGIT = TESTS.parent / "docs/digit.png"
SECONDS_EACH, MEBIBYTES = 10, 2048
"""The limits of one input; the memory is that of the whole process, without TensorFlow."""

READERS = ("message", "picture", "inference_message", "inference_json", "model")

RUNS, RUNS_IN_FULL = 2_000, 500_000
RUNS_OF_MODELS, RUNS_OF_MODELS_IN_FULL = 1_000, 100_000


def requests() -> list[bytes]:
    """PredictRequests of all fields, some of them so long that they are read in place."""
    picture = DIGIT.read_bytes()
    return [
        request.SerializeToString()
        for request in (
            PredictRequest(images=bytes(784)),
            PredictRequest(images=bytes(784 * 11)),
            PredictRequest(images=bytes(784 * 11), model_version=1, include_probabilities=True),
            PredictRequest(images=bytes(784 * 11), model_version=2**63 - 1),
            PredictRequest(image_files=[picture, picture]),
        )
    ] + [b"\x0a\xb0\x43" + bytes(8624) + b"\x18" + varint for varint in VARINTS]


def pictures() -> list[bytes]:
    found = [DIGIT.read_bytes()]
    for mode in ("L", "RGB", "RGBA", "P", "I;16"):
        kinds = {"L": ("PNG", "JPEG", "WEBP", "GIF"), "RGB": ("PNG", "JPEG", "WEBP")}.get(mode, ("PNG",))
        for kind in kinds:
            file = BytesIO()
            Image.new(mode, (32, 24)).save(file, kind)
            found.append(file.getvalue())
    return found


def inference_messages() -> list[bytes]:
    pixels = np.zeros((1, 28, 28), np.uint8)
    return [
        grpc_request(images, [1, 784], raw=raw, outputs=["digits"]).SerializeToString()
        for images in (pixels, pixels.astype(np.float32))
        for raw in (True, False)
    ]


def inference_bodies() -> list[bytes]:
    pixels = np.zeros((1, 28, 28), np.uint8)
    found = []
    for form in ("flat", "nested", "binary"):
        body, headers = rest_request(pixels, [1, 28, 28], form=form)
        length = next((int(value) for name, value in headers.items() if "length" in name.lower()), 0)
        found.append(length.to_bytes(2, "big") + body)
    return found


SEEDS = {
    "message": requests,
    "picture": pictures,
    "inference_message": inference_messages,
    "inference_json": inference_bodies,
}


@pytest.fixture
def corpus(reader: str, repository: Path, tmp_path: Path) -> Path:
    """A folder of valid inputs, with which the fuzzer starts and to which it adds."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    model = repository.joinpath("digits/1/model.tflite").read_bytes()
    seeds = [model, hostile_models.with_work(model)] if reader == "model" else SEEDS[reader]()
    for number, seed in enumerate(seeds):
        folder.joinpath(str(number)).write_bytes(seed)
    return folder


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="atheris is built for nothing else"
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("reader", READERS)
def test_a_fuzzer_finds_nothing_wrong_with(
    reader: str, corpus: Path, tmp_path: Path, record: Record, *, full: bool
) -> None:
    short, long = (RUNS_OF_MODELS, RUNS_OF_MODELS_IN_FULL) if reader == "model" else (RUNS, RUNS_IN_FULL)
    runs = long if full else short
    bounds = [f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEBIBYTES}", f"-artifact_prefix={tmp_path}/"]
    fuzzer = subprocess.run(
        [sys.executable, "-m", "support.attacks.fuzzing", reader, f"-runs={runs}", "-seed=1", *bounds, corpus],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert fuzzer.returncode == 0, fuzzer.stderr[-3000:]
    done = re.search(r"^#(\d+)\s+DONE .* rss: (\d+)Mb$", fuzzer.stderr, re.MULTILINE)
    assert done, fuzzer.stderr[-3000:]
    assert int(done[1]) >= runs
    record(
        f"{runs:,} inputs of a fuzzer to the reader of {reader.replace('_', ' ')}: wrong; memory of the process",
        f"0; {done[2]} MiB",
    )

"""The wire contract: names and numbers that callers and tools rely on."""

import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from support.needs import need

from digits.v1 import manifest_pb2, prediction_pb2

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "proto/released.json"
BUF = ROOT / ".venv/buf/node_modules/.bin/buf"
SECONDS = 60
"""Deadline of buf."""

SERVICE = prediction_pb2.DESCRIPTOR.services_by_name["PredictionService"]


def numbers(message: str) -> dict[str, int]:
    return {field.name: field.number for field in prediction_pb2.DESCRIPTOR.message_types_by_name[message].fields}


def test_the_methods_of_the_service() -> None:
    assert SERVICE.full_name == "digits.v1.PredictionService"
    assert {
        method.name: (method.input_type.name, method.output_type.name, method.client_streaming, method.server_streaming)
        for method in SERVICE.methods
    } == {
        "Predict": ("PredictRequest", "PredictResponse", False, False),
        "PredictStream": ("PredictRequest", "PredictResponse", True, True),
        "GetModel": ("GetModelRequest", "GetModelResponse", False, False),
    }


def test_the_fields_of_the_messages() -> None:
    assert numbers("PredictRequest") == {
        "images": 1,
        "image_files": 2,
        "model_version": 3,
        "include_probabilities": 4,
        "include_unlike": 5,
    }
    assert numbers("PredictResponse") == {
        "digits": 1,
        "confidences": 2,
        "probabilities": 3,
        "model_version": 4,
        "unlike": 5,
    }


def test_the_states_of_a_version() -> None:
    assert {"SERVING", "AVAILABLE", "LOADING", "REJECTED"} <= set(prediction_pb2.ModelVersionStatus.State.keys())


def test_manifest_fields_that_tools_read_keep_their_names() -> None:
    manifest = manifest_pb2.Manifest(
        model_version=3,
        metrics=manifest_pb2.Metrics(test_accuracy=0.5),
        files=[manifest_pb2.ModelFile(path="a", sha256="b")],
    )
    assert MessageToDict(manifest) == {
        "modelVersion": "3",
        "metrics": {"testAccuracy": 0.5},
        "files": [{"path": "a", "sha256": "b"}],
    }


@pytest.mark.parametrize(
    ("file", "before", "after", "complaint"),
    [
        ("prediction.proto", "int64 model_version = 3", "int64 version = 3", "changed name"),
        ("prediction.proto", "repeated float confidences = 2", "repeated double confidences = 2", "changed type"),
        ("prediction.proto", "SERVING = 1", "SERVING = 7", 'Previously present enum value "1"'),
        ("manifest.proto", "string sha256 = 2", "string sha256 = 7", 'Previously present field "2"'),
    ],
)
def test_buf_finds_a_change_that_breaks_callers(
    tmp_path: Path, file: str, before: str, after: str, complaint: str
) -> None:
    need("node", str(BUF), target="buf")
    shutil.copytree(ROOT / "proto", tmp_path / "proto", ignore=shutil.ignore_patterns("*.py*"))
    changed = tmp_path / "proto/digits/v1" / file
    text = changed.read_text()
    assert text.count(before) >= 1
    changed.write_text(text.replace(before, after))
    compare: list[str | Path] = [BUF, "breaking", "proto", "--against", RELEASED]
    ended = subprocess.run(compare, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert complaint in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode != 0

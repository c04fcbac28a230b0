"""The wire contract: names and numbers that callers and tools out there rely on."""

from google.protobuf.json_format import MessageToDict

from digits.v1 import manifest_pb2, prediction_pb2

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
    }
    assert numbers("PredictResponse") == {"digits": 1, "confidences": 2, "probabilities": 3, "model_version": 4}


def test_the_states_of_a_version() -> None:
    assert {"SERVING", "AVAILABLE", "LOADING", "REJECTED"} <= set(prediction_pb2.ModelVersionStatus.State.keys())


def test_what_tools_read_from_the_manifest_has_its_name() -> None:
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

"""`digits info` shows only values that the server knows."""

from digits.v1.manifest_pb2 import Manifest, Metrics, ModelFile, Training
from digits.v1.prediction_pb2 import GetModelResponse, ModelVersionStatus
from digits_client._command.described import described

PUBLISHED = Manifest(
    model_name="digits",
    model_version=2,
    files=[ModelFile(path="model.tflite", size_bytes=1000), ModelFile(path="model.keras", size_bytes=2500)],
    training=Training(network="mlp"),
    metrics=Metrics(test_accuracy=0.9442, test_images=10_000),
)
PUBLISHED.created_at.FromJsonString("2026-11-24T10:15:00Z")


def status(version: int, state: str, reason: str = "") -> ModelVersionStatus:
    return ModelVersionStatus(version=version, state=ModelVersionStatus.State.Value(state), reason=reason)


def test_every_version_has_its_state_and_what_it_is_used_for() -> None:
    model = GetModelResponse(
        manifest=PUBLISHED,
        runtime="litert",
        versions=[
            status(1, "REJECTED", "model.tflite is missing"),
            status(2, "SERVING"),
            status(3, "SERVING"),
            status(4, "AVAILABLE"),
        ],
        pinned_version=2,
        canary_version=3,
        canary_share=0.05,
        shadow_version=4,
    )
    assert list(described(model)) == [
        ("model", "digits, version 2, mlp"),
        ("runtime", "litert"),
        ("accuracy", "0.9442 on 10,000 test images"),
        ("published", "2026-11-24 10:15 UTC"),
        ("size", "3,500 bytes"),
        ("pinned", "version 2"),
        ("canary", "version 3, 5% of requests without a version"),
        ("shadow", "version 4"),
        ("version", "1  REJECTED: model.tflite is missing"),
        ("version", "2  SERVING, current, pinned"),
        ("version", "3  SERVING, canary"),
        ("version", "4  AVAILABLE, shadow"),
    ]


def test_a_bare_file_has_no_accuracy_and_no_date() -> None:
    manifest = Manifest(model_name="digits", model_version=1, training=Training(network="unknown"))
    manifest.files.add(path="model.h5", size_bytes=7)
    names = [name for name, _ in described(GetModelResponse(manifest=manifest, versions=[status(1, "SERVING")]))]
    assert names == ["model", "runtime", "size", "version"]


def test_a_missing_pinned_version_is_shown() -> None:
    model = GetModelResponse(manifest=PUBLISHED, versions=[status(2, "SERVING")], pinned_version=9)
    assert list(described(model))[-2:] == [
        ("version", "2  SERVING, current"),
        ("version", "9  not in the repository, pinned"),
    ]

"""The model card: the manifest of a model in words, with the YAML metadata that model hubs read."""

import json
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest
from digits_training.data import is_mnist


def write(folder: Path, manifest: Manifest, warnings: Sequence[str] = ()) -> None:
    """Writes model_card.md into the report's folder, which already has the pictures.

    Everything comes from the manifest, except the `warnings` about the training data, one sentence each.
    """
    metrics = manifest.metrics
    title = f"# {manifest.model_name}: {manifest.training.network}, {metrics.test_accuracy:.2%} on the test set"
    parts = [
        _head(manifest),
        title,
        _purpose(manifest),
        *_overruled(manifest),
        *_warned(warnings),
        _INTENDED_USE,
        _LIMITS,
    ]
    parts += [_figures(manifest, folder), _making(manifest), _licences(manifest)]
    (folder / "model_card.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(manifest: Manifest) -> str:
    """The metadata for a model hub, in YAML. Texts are JSON strings, which are valid YAML."""
    training = manifest.training
    test_set = "MNIST" if is_mnist(training.data) else ", ".join(file.name for file in training.data)
    lines = ["library_name: keras", "pipeline_tag: image-classification", "tags: [image-classification, litert]"]
    dataset = [f"name: {json.dumps(test_set)}", "split: test"]
    if is_mnist(training.data):
        dataset += [f"type: {_MNIST_ON_HUBS}"]
        if not training.HasField("imported_file"):
            lines = ["license: apache-2.0", *lines, f"datasets: [{_MNIST_ON_HUBS}]"]
    else:
        dataset += ["type: image-classification"]
    lines += [
        "metrics: [accuracy]",
        "model-index:",
        f"- name: {json.dumps(f'{manifest.model_name}-{training.network}')}",
        "  results:",
        "  - task: {type: image-classification}",
        f"    dataset: {{{', '.join(dataset)}}}",
        f"    metrics: [{{type: accuracy, value: {manifest.metrics.test_accuracy:.4f}}}]",
    ]
    return "\n".join(["---", *lines, "---"])


def _purpose(manifest: Manifest) -> str:
    return f"""Classifies images of 28 × 28 pixels, one byte each, 0 background to 255 ink, as one of ten labels:
{", ".join(manifest.labels)}."""


def _overruled(manifest: Manifest) -> list[str]:
    if not manifest.overruled_objections:
        return []
    objections = "\n".join(f"- {objection}" for objection in manifest.overruled_objections)
    return [f"**Published by force.** The gate objected:\n\n{objections}"]


def _warned(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["**Warnings about the data:**\n\n" + "\n".join(f"- {warning}" for warning in warnings)]


def _figures(manifest: Manifest, folder: Path) -> str:
    metrics = manifest.metrics
    rows = "\n".join(
        f"| {name} | {label.precision:.4f} | {label.recall:.4f} | {label.images:,} |"
        for name, label in zip(manifest.labels, metrics.labels, strict=True)
    )
    pictures = "\n\n".join(
        f"![{caption}]({name})"
        for name, caption in (
            ("history.png", "Training curves"),
            ("confusion_matrix.png", "Confusion matrix"),
            ("per_label.png", "Precision and recall"),
            ("calibration.png", "Calibration"),
            ("mistakes.png", "The most confident mistakes"),
        )
        if (folder / name).exists()
    )
    validation = f"""
Validation: accuracy {metrics.validation_accuracy:.4f}, cross-entropy
{metrics.validation_loss:.4f} nats."""
    return f"""## Figures

Test set: {metrics.test_images:,} images that were not used in training. Accuracy {metrics.test_accuracy:.4f},
cross-entropy {metrics.test_loss:.4f} nats, expected calibration error {metrics.expected_calibration_error:.4f}.\
{validation if manifest.training.validation_images else ""}

| label | precision | recall | images |
|---|---|---|---|
{rows}

{pictures}"""


def _making(manifest: Manifest) -> str:
    training = manifest.training
    if training.HasField("imported_file"):
        origin = f"Imported from `{training.imported_file.path}` (SHA-256 `{training.imported_file.sha256}`)."
    else:
        origin = f"""Fitted to {training.training_images:,} images; {training.validation_images:,} were held out for
validation."""
    frameworks = ", ".join(f"{name} {version}" for name, version in sorted(manifest.framework_versions.items()))
    hyperparameters = json_format.MessageToDict(training.hyperparameters)
    rows = "\n".join(f"| {name} | {_shown(value)} |" for name, value in sorted(hyperparameters.items()))
    return f"""## How it was made

{training.parameters:,} parameters. {origin}
Built with {frameworks}.

| setting | value |
|---|---|
{rows}

`model.tflite` was converted from `model.keras`; on the test set both give the same answers, and their probabilities
differ by {manifest.metrics.conversion_max_difference:.1e} at most."""


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else "Keras's default" if value is None else str(value)


def _licences(manifest: Manifest) -> str:
    training = manifest.training
    if is_mnist(training.data):
        data = (
            "MNIST (Yann LeCun, Corinna Cortes, Christopher J. C. Burges): Creative Commons Attribution-ShareAlike 3.0."
        )
    else:
        names = ", ".join(f"`{file.name}`" for file in training.data)
        data = f"{names}: not recorded here; see the terms of their publisher."
    made = (
        "imported: see the terms of its author"
        if training.HasField("imported_file")
        else "made by code under Apache-2.0"
    )
    return f"""## Licences

- Data: {data}
- Model: {made}."""


_MNIST_ON_HUBS = "ylecun/mnist"

_INTENDED_USE = """## Intended use

Reading single, separate symbols that a person wrote or drew, for teaching, demonstrations and software tests; as one
step of a larger system where a wrong answer is noticed or costs little. Not for decisions about people, money or health
without a person who checks each answer."""

_LIMITS = """## Limits

It knows centred, upright images of one symbol, like those of its training set. For any other image, it still
answers with one of its ten labels; its confidence is a hint, not a proof."""

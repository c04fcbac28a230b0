"""One run, from the data to a published version."""

from collections.abc import Callable
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from digits.v1.manifest_pb2 import Manifest, Metrics, ModelInput, Training
from digits_training import backend, data, export, manifest, publish, report
from digits_training.checkpoint import Checkpoint, fingerprint
from digits_training.errors import RefusedError
from digits_training.evaluate import evaluate
from digits_training.fit import fit, probabilities_of
from digits_training.networks import build_network
from digits_training.settings import MODEL_NAME, Kind, Settings

Say = Callable[[str], None]


def train(settings: Settings, say: Say) -> int:
    """Trains, evaluates, converts, proves parity, and publishes; returns the version. Raises TrainingError."""
    dataset = data.read(settings.data)
    training, validation = data.split(dataset.train, settings.validation_share, settings.seed)
    say(
        f"{len(training):,} training, {len(validation):,} validation and {len(dataset.test):,} test images "
        f"from {settings.data or 'MNIST as shipped'}"
    )

    backend.start(settings.seed)
    network = build_network(settings)
    say(f"{settings.network}: {network.count_params():,} parameters")
    hyperparameters = settings.of_kind(Kind.HYPERPARAMETER)
    run = fingerprint(hyperparameters, [file.sha256 for file in dataset.files], manifest.framework_versions())
    model_folder = settings.repository / MODEL_NAME
    checkpoint = Checkpoint(model_folder / ".checkpoints", run)
    history = fit(network, training, validation, settings=settings, checkpoint=checkpoint, say=say)

    with publish.staging(model_folder) as folder:
        network.save(folder / "model.keras")
        export.convert(network, folder / "model.tflite")
        probabilities = export.litert_probabilities(folder / "model.tflite", dataset.test.images)
        difference = export.prove_parity(probabilities_of(network, dataset.test.images), probabilities)
        figures = evaluate(probabilities, dataset.test.labels)  # of what serves
        say(
            f"test set: accuracy {figures.accuracy:.4f}, loss {figures.loss:.4f}; "
            f"LiteRT gives the same answers, probabilities within {difference:.1e}"
        )
        if figures.accuracy < settings.min_accuracy:
            raise RefusedError(
                f"not published: test accuracy {figures.accuracy:.4f} is below {settings.min_accuracy:g}"
            )

        description = Manifest(
            schema_version=manifest.SCHEMA_VERSION,
            model_name=MODEL_NAME,
            input=ModelInput(dtype="uint8", shape=[data.SIDE, data.SIDE], background=0, ink=255),
            labels=settings.labels,
            framework_versions=manifest.framework_versions(),
            training=Training(
                network=settings.network,
                parameters=network.count_params(),
                data=dataset.files,
                training_images=len(training),
                validation_images=len(validation),
                label_counts=training.label_counts(),
            ),
            metrics=Metrics(validation_accuracy=history[-1]["val_accuracy"], validation_loss=history[-1]["val_loss"]),
            golden_images=manifest.golden_images(dataset.test, probabilities),
            golden_tolerance=manifest.GOLDEN_TOLERANCE,
        )
        description.training.hyperparameters.update(hyperparameters)
        description.metrics.MergeFrom(manifest.metrics_on_test_set(figures, difference))

        (folder / "report").mkdir()
        report.write_history(folder / "report", history)
        report.write_confusion_matrix(folder / "report", figures, settings.labels)
        report.write_model_card(folder / "report", description)

        def write_manifest(folder: Path, version: int) -> None:
            description.model_version = version
            description.created_at.CopyFrom(now())
            manifest.write(description, folder)

        version = publish.publish(folder, write_manifest)
    checkpoint.remove()
    say(f"published version {version}: {model_folder / str(version)}")
    return version


def now() -> Timestamp:
    timestamp = Timestamp()
    timestamp.GetCurrentTime()
    return timestamp

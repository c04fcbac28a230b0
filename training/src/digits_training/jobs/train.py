"""`digits-train train`: from the data to a published version."""

from digits.v1.manifest_pb2 import Training
from digits_training import data
from digits_training.data import checks, samples
from digits_training.errors import Interrupted
from digits_training.fitting.checkpoint import Checkpoint, fingerprint, source_checksum
from digits_training.fitting.fit import fit
from digits_training.jobs.release import release
from digits_training.networks import backend
from digits_training.networks.built_in import build_network, trained_parameters
from digits_training.own_network import adapted, source
from digits_training.repository import manifest
from digits_training.runs.record import SAMPLES, Run, Say, recorded
from digits_training.runs.tensorboard import epoch_writer
from digits_training.settings import Kind, Settings
from digits_training.settings.networks import name_of


def train(settings: Settings, say: Say) -> int | None:
    """Trains, evaluates, converts, proves parity, and publishes; returns the version, None with --no-publish.

    Raises TrainingError. In every case, the run leaves a record in --runs.
    """
    with recorded("train", settings, say) as run:
        return _train(settings, say, run)


def _train(settings: Settings, say: Say, run: Run) -> int | None:
    own = source.read(settings.network)
    dataset = data.read(settings.data, data.reading_of(settings))
    training, validation = data.split(dataset.train, settings.validation_share, settings.seed)
    for note in dataset.notes:
        say(note)
    say(
        f"{len(training):,} training, {len(validation):,} validation and {len(dataset.test):,} test images "
        f"from {settings.data or 'MNIST as shipped'}"
    )
    if dataset.test_share:
        say(
            f"the data have no test images: {dataset.test_share:.0%} of the images are held out as test images "
            "(--test-share)"
        )
    warnings = checks.warnings(training, dataset.test, labels=settings.labels, inverted=settings.invert)
    for warning in warnings:
        say(f"warning: {warning}")
    with run.writing() as kept:
        if kept:
            samples.write(kept / SAMPLES, training, settings.labels)
            say(f"samples of the training images with their labels: {kept / SAMPLES}")
    backend.start(settings.seed, settings.network)
    network = adapted.network_of(own, training, say) if own else build_network(settings)
    network.summary(print_fn=say, expand_nested=True)
    say(f"{name_of(settings.network)}: {trained_parameters(network):,} parameters to train")

    hyperparameters = settings.of_kind(Kind.HYPERPARAMETER) | {"test_share": dataset.test_share}
    if own:
        hyperparameters["network_sha256"] = own.sha256
    run.tell(settings=hyperparameters, images=len(training), parameters=trained_parameters(network), warnings=warnings)
    data_files = [file.sha256 for file in dataset.files]
    identity = fingerprint(hyperparameters, data_files, manifest.framework_versions(), source_checksum())
    checkpoint = Checkpoint(settings.checkpoint_dir or settings.model_folder / ".checkpoints", identity)
    epochs = epoch_writer(settings, run, say)
    try:
        history = fit(
            network, training, validation, settings=settings, checkpoint=checkpoint, say=say, after_epoch=epochs
        )
    except Interrupted as interruption:
        interruption.add_note("the same command resumes from the last checkpoint")
        raise
    epochs(history)  # again: perhaps all epochs came from the checkpoint

    if own:
        network = adapted.served(network)
    made = Training(
        network=name_of(settings.network),
        data=dataset.files,
        training_images=len(training),
        validation_images=len(validation),
        label_counts=training.label_counts(),
    )
    made.hyperparameters.update(hyperparameters)
    version = release(network, made, history, dataset, settings=settings, say=say, run=run, warnings=warnings)
    if version is not None:
        checkpoint.remove()
    return version

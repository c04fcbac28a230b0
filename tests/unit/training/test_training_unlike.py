"""unlike.tflite: a published cnn comes with a measure of how unlike its training images an image is."""

import json
from pathlib import Path

import numpy as np
import pytest

from digits_training.conversion import unlike
from digits_training.conversion.litert import litert_probabilities
from digits_training.data import DataSet, LabelledImages
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import predictor
from digits_training.repository import manifest
from digits_training.settings import Settings


def test_a_published_cnn_has_the_file_and_its_manifest_says_how_it_was_measured(
    scored_repository: Path, small: DataSet
) -> None:
    version = scored_repository / "digits/1"
    recorded = manifest.read(version)
    assert unlike.FILE_NAME in {file.path for file in recorded.files}
    scores = litert_probabilities(version / unlike.FILE_NAME, small.train.images).min(axis=1)
    assert (scores > 1).mean() == pytest.approx(0.01, abs=0.001)
    assert recorded.unlike.refused_share == unlike.refused_share(version, small.test.images)
    assert recorded.unlike.test_images == len(small.test)
    assert recorded.unlike.threshold > 0
    golden = np.array([np.frombuffer(item.image, np.uint8) for item in recorded.golden_images]).reshape(-1, 28, 28)
    again = litert_probabilities(version / unlike.FILE_NAME, golden)
    assert again.ravel() == pytest.approx(np.array(recorded.unlike.golden_distances), abs=1e-5)


def test_other_networks_have_neither_the_file_nor_the_entry(published: Path) -> None:
    version = published / "digits/1"
    assert not (version / unlike.FILE_NAME).exists()
    assert "unlike" not in json.loads((version / "manifest.json").read_text())


def test_a_distance_is_the_mahalanobis_distance_of_the_quarters_means_over_the_threshold(
    small: DataSet, tmp_path: Path
) -> None:
    backend.start(seed=1)
    network = build_network(Settings.for_network(network="cnn"))
    measured = unlike.write(network, small, [], tmp_path)

    maps = predictor(_up_to_the_flatten_layer(network))(small.train.images).astype(np.float64)
    parts = [maps[:, rows, columns] for rows in (slice(4), slice(4, 7)) for columns in (slice(4), slice(4, 7))]
    features = np.concatenate([part.mean(axis=(1, 2)) for part in parts], axis=1)
    means = np.stack([features[small.train.labels == label].mean(axis=0) for label in range(10)])
    covariance = np.cov((features - means[small.train.labels]).T, bias=True)
    covariance += np.eye(len(covariance)) * unlike.RIDGE * np.trace(covariance) / len(covariance)
    apart = features[:50, None] - means
    distances = np.einsum("nlf,fg,nlg->nl", apart, np.linalg.inv(covariance), apart)

    found = litert_probabilities(tmp_path / unlike.FILE_NAME, small.train.images[:50])
    assert found == pytest.approx(distances / measured.threshold, rel=2e-3)


@pytest.mark.parametrize("shown", ["five of ten labels", "one image again and again"])
def test_data_that_lack_labels_or_differences_have_scores_too(small: DataSet, tmp_path: Path, shown: str) -> None:
    backend.start(seed=1)
    chosen = small.train.take(np.flatnonzero(small.train.labels < 5)[:300])
    if shown != "five of ten labels":
        chosen = LabelledImages(np.repeat(chosen.images[:1], 300, axis=0), np.repeat(chosen.labels[:1], 300))
    network = build_network(Settings.for_network(network="cnn"))
    unlike.write(network, DataSet(chosen, chosen, ()), [], tmp_path)
    noise = np.random.default_rng(1).integers(0, 256, (10, 28, 28), np.uint8)
    scores = litert_probabilities(tmp_path / unlike.FILE_NAME, noise).min(axis=1)
    assert np.isfinite(scores).all()
    assert (scores > 1).all()


def test_the_time_does_not_grow_with_the_training_images(
    small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.start(seed=1)
    monkeypatch.setattr(unlike, "MOST_IMAGES", 300)
    assert len(small.train) > 300
    network = build_network(Settings.for_network(network="cnn"))
    unlike.write(network, small, [], tmp_path)
    drawn = small.train.take(np.random.default_rng(0).choice(len(small.train), 300, replace=False))
    scores = litert_probabilities(tmp_path / unlike.FILE_NAME, drawn.images).min(axis=1)
    assert np.sort(scores)[-3] == pytest.approx(1, abs=1e-3)  # the score that 1 % of the 300 reach


def _up_to_the_flatten_layer(network: object) -> object:
    import keras

    assert isinstance(network, keras.Model)
    (flatten,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Flatten))
    return keras.Model(network.inputs, flatten.input)

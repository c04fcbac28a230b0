"""Distorted images are still images, and the same ones for the same seed."""

import numpy as np
import pytest

from digits_training.data import DataSet
from digits_training.fitting import augment
from digits_training.networks import backend
from digits_training.settings import Settings

SEED = np.array([3, 14], np.int32)


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


def test_settings_of_zero_change_nothing(small: DataSet) -> None:
    assert not augment.augments(Settings())
    assert np.array_equal(augment.distort(small.train.images[:50], SEED, Settings()), small.train.images[:50])


def test_the_seed_decides_the_distortion(small: DataSet) -> None:
    settings = Settings.for_network(network="cnn")
    assert augment.augments(settings)
    images = small.train.images[:50]
    first, again = (np.asarray(augment.distort(images, SEED, settings)) for _ in range(2))
    other = np.asarray(augment.distort(images, SEED + 1, settings))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_image_stays_an_image_of_the_same_ink(small: DataSet) -> None:
    distorted = np.asarray(augment.distort(small.train.images, SEED, Settings.for_network(network="cnn")))
    assert distorted.shape == small.train.images.shape
    assert distorted.dtype == np.uint8
    assert distorted.mean() == pytest.approx(small.train.images.mean(), rel=0.05)


def test_no_image_moves_further_than_it_may() -> None:
    dot = np.zeros((500, 28, 28), np.uint8)
    dot[:, 14, 14] = 255
    rows = np.asarray(augment.distort(dot, SEED, Settings(shift=3.0))).max(axis=2)
    found = np.array([np.flatnonzero(image)[[0, -1]] for image in rows])
    assert found.min() >= 14 - 3
    assert found.max() <= 14 + 3
    assert len(set(map(tuple, found.tolist()))) > 3


def test_a_quarter_turn_turns_the_image_about_its_centre() -> None:
    corner = np.zeros((400, 28, 28), np.uint8)
    corner[:, 13:15, 2:4] = 255
    turned = np.asarray(augment.distort(corner, SEED, Settings(rotation=180.0)))
    centre = turned.reshape(400, -1).argmax(axis=1)
    distance = np.hypot(centre // 28 - 13.5, centre % 28 - 13.5)
    assert distance == pytest.approx(np.full(400, 11), abs=1.5)

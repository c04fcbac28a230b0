"""A model with layers that act only in training can be imported: the import drops these layers without reading them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training.configurations import ATTACKS, functional, layers_of, mentions, sequential, written

from digits_training.errors import ModelFileError
from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.untrusted import files
from digits_training.untrusted.layers import CHANGE_IMAGES, LAYERS, NOTHING_AT_INFERENCE

FORMATS = ("model.keras", "model.h5", "saved_model")
ARGUMENTS: dict[str, tuple[Any, ...]] = {  # what these layers cannot be made without, where it is not one factor
    **dict.fromkeys(("AugMix", "Identity", "RandAugment", "RandomElasticTransform", "RandomFlip", "RandomShear"), ()),
    **dict.fromkeys(("RandomErasing", "RandomGaussianBlur", "RandomPerspective"), ()),
    "RandomColorJitter": (),
    "RandomPosterization": (4,),
    "RandomTranslation": (0.1, 0.1),
}
OF_OTHER_RANKS = {"SpatialDropout1D": (5, 28, 28), "SpatialDropout3D": (5, 28, 28, 1, 1)}
OF_KERAS_2 = {"RandomHeight", "RandomWidth"}


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


def _loaded(path: Path, folder: Path) -> Any:
    """What `digits-train import` loads, without the process with limits that tries it first."""
    if path.is_dir():
        return loading._load_copy(path, path.name)
    copy = folder / f"copy{path.suffix}"
    copy.write_bytes(files.private_copy(path.read_bytes(), path.suffix))
    return loading._load_copy(copy, path.name)


def _saved(model: Any, folder: Path, name: str) -> Path:
    import keras

    with backend.quiet():
        if name == "saved_model":  # as Keras 2 wrote it: what the model does when it answers
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serve", lambda images: model(images, training=False), [model.inputs[0]])
            archive.write_out(folder / name, verbose=False)
        else:
            model.save(folder / name)
    return folder / name


@pytest.mark.parametrize("name", sorted(NOTHING_AT_INFERENCE - OF_KERAS_2))
def test_a_layer_that_is_dropped_gives_what_it_gets(name: str) -> None:
    import keras

    layer = getattr(keras.layers, name)(*ARGUMENTS.get(name, (0.3,)))
    values = np.random.default_rng(0).uniform(-50, 300, OF_OTHER_RANKS.get(name, (5, 28, 28, 3))).astype(np.float32)
    answers = layer(values) if name == "Identity" else layer(values, training=False)
    assert np.array_equal(np.asarray(answers), values)


def test_every_random_layer_of_this_keras_is_dropped_or_refused_by_name() -> None:
    import keras

    random = {name for name in dir(keras.layers) if name.startswith("Random")}
    assert random - NOTHING_AT_INFERENCE - CHANGE_IMAGES == set()
    assert not NOTHING_AT_INFERENCE & LAYERS.keys()


def test_nothing_of_their_configuration_reaches_keras() -> None:
    for name in NOTHING_AT_INFERENCE:
        for attack in ATTACKS:
            config = {"name": "n", "factor": attack, "seed": attack, "fill_mode": attack, "layers": [attack]}
            model = written(sequential({"class_name": name, "module": "keras.layers", "config": config}))
            assert not mentions(model, attack)
            assert layers_of(model)[1] == {"name": "n", "scale": 1.0, "offset": 0.0}


@pytest.fixture(scope="module")
def augmented() -> Any:
    """As Keras's tutorials write it: a sequential model of augmentation inside a functional one, and noise."""
    backend.start(seed=0)
    import keras
    from keras import layers

    distortions = [layers.RandomRotation(0.1, fill_mode="constant"), layers.RandomZoom(0.1), layers.RandomFlip()]
    augmentation = keras.Sequential(
        [layers.Resizing(28, 28, interpolation="bicubic"), *distortions], name="augmentation"
    )
    inputs = keras.Input((28, 28, 1))
    features = layers.RandomTranslation(0.1, 0.1)(layers.Rescaling(1 / 255)(augmentation(inputs)))
    features = layers.Conv2D(4, 3, strides=2, activation="relu")(layers.GaussianNoise(0.1)(features))
    features = layers.SpatialDropout2D(0.2)(layers.BatchNormalization()(layers.RandomContrast(0.2)(features)))
    features = layers.Dropout(0.2)(layers.GaussianDropout(0.1)(layers.Flatten()(features)))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Identity()(features)))
    for weights in model.weights:
        weights.assign(np.random.default_rng(1).uniform(0.01, 0.1, weights.shape))
    return model


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_with_augmentation_inside_answers_as_before(name: str, augmented: Any, tmp_path: Path) -> None:
    model = _loaded(_saved(augmented, tmp_path, name), tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 1)).astype(np.float32)
    assert np.asarray(model(images)) == pytest.approx(augmented.predict(images, verbose=0), abs=1e-5)
    inner = [layer for each in model.layers for layer in getattr(each, "layers", [each])]
    assert not {type(layer).__name__ for layer in inner} & NOTHING_AT_INFERENCE


def test_a_saved_model_of_keras_3_that_distorts_every_image_is_refused(augmented: Any, tmp_path: Path) -> None:
    """Its export leaves augmentation layers as they are in training."""
    with backend.quiet():
        augmented.export(tmp_path / "saved_model", verbose=False)
    with pytest.raises(ModelFileError, match=r"distorts images at random.*: save the model as a \.keras file"):
        _loaded(tmp_path / "saved_model", tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_that_gives_images_another_size_is_refused(name: str, tmp_path: Path) -> None:
    import keras

    layers = [keras.layers.Resizing(32, 32), keras.layers.Flatten(), keras.layers.Dense(10)]
    path = _saved(keras.Sequential([keras.Input((28, 28, 1)), *layers]), tmp_path, name)
    with pytest.raises(
        ModelFileError, match=r"resizes 28 × 28.* to 32 × 32.*: leave it out, or pad with ZeroPadding2D"
    ):
        _loaded(path, tmp_path)


def test_a_resizing_that_is_called_twice_is_refused(tmp_path: Path) -> None:
    import keras

    inputs, resizing = keras.Input((28, 28, 1)), keras.layers.Resizing(28, 28, name="resizing")
    twice = resizing(keras.layers.Cropping2D(4)(resizing(inputs)))
    path = _saved(keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(twice))), tmp_path, "model.keras")
    with pytest.raises(ModelFileError, match="'resizing' is a Resizing that is called more than once"):
        _loaded(path, tmp_path)


@pytest.mark.parametrize("name", sorted(CHANGE_IMAGES))
def test_a_layer_that_changes_images_when_the_model_answers_is_refused(name: str) -> None:
    with pytest.raises(ModelFileError, match=f"the layer {name} also changes images at inference"):
        written(sequential({"class_name": name, "module": "keras.layers", "config": {"name": "n"}}))


def test_augmentation_that_keras_2_was_told_to_use_in_every_call_is_refused() -> None:
    """Keras 3 writes training=True for every call of such a layer, and calls it with False at inference."""
    model = functional([["i", 0, 0, {"training": True}]])
    model["config"]["layers"][1] |= {"class_name": "RandomFlip", "config": {"name": "dense"}}
    with pytest.raises(ModelFileError, match="the layer 'dense' is called with training=True"):
        written(model)

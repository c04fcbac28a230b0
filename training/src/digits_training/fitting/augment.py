"""Small random distortions of the training images, after which a person still reads the same digit."""

import math
from typing import Any

from digits_training.data import SIDE
from digits_training.settings import Settings


def augments(settings: Settings) -> bool:
    """Whether these settings distort images at all."""
    return any((settings.rotation, settings.zoom, settings.shear, settings.shift))


def distort(images: Any, seed: Any, settings: Settings) -> Any:
    """uint8[N, 28, 28] → the same, each image turned, zoomed, sheared and moved by different random amounts.

    A TensorFlow function of only `images` and `seed` (int32[2]), so a resumed run gets the same images.
    """
    import tensorflow as tf

    turn, zoom_x, zoom_y, slant, move_x, move_y = tf.unstack(
        tf.random.stateless_uniform((6, tf.shape(images)[0]), seed, -1.0, 1.0)
    )
    angle = turn * math.radians(settings.rotation)
    # The affine map from each pixel of the result to a position in the image: x' = a·x + b·y + c, y' = d·x + e·y + f,
    # about the centre of the image.
    a = tf.cos(angle) * (1 + zoom_x * settings.zoom)
    b = slant * settings.shear - tf.sin(angle) * (1 + zoom_y * settings.zoom)
    d = tf.sin(angle) * (1 + zoom_x * settings.zoom)
    e = tf.cos(angle) * (1 + zoom_y * settings.zoom)
    centre = (SIDE - 1) / 2
    c = centre * (1 - a - b) + move_x * settings.shift
    f = centre * (1 - d - e) + move_y * settings.shift
    zero = tf.zeros_like(a)
    distorted = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32)[..., tf.newaxis],
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=[SIDE, SIDE],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.cast(tf.round(distorted[..., 0]), tf.uint8)

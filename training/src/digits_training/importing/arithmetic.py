"""TensorFlow operations of shapes and of arithmetic, each as the Keras layer that does the same.

`operations` says what a translation takes and returns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.errors import ModelFileError


def symbolic(value: Any) -> bool:
    return not isinstance(value, np.ndarray | list)


def same(_node: Any, value: Any) -> Any:
    return value


def shape_of(_node: Any, value: Any) -> list[int]:
    return [-1 if length is None else int(length) for length in value.shape]


def strided_slice(_node: Any, value: Any, begin: Any, end: Any, _strides: Any) -> Any:
    """An element of a shape: plain models use the operation only for this."""
    if symbolic(value) or len(begin) != 1:
        raise ModelFileError("refused: the operation StridedSlice on an array")
    return value[int(begin[0])] if int(end[0]) == int(begin[0]) + 1 else value[int(begin[0]) : int(end[0])]


def pack(_node: Any, *values: Any) -> list[int]:
    return [int(value) for value in values]


def reshape(_node: Any, value: Any, shape: Any) -> Any:
    import keras

    if not symbolic(value):
        return np.reshape(value, [int(length) for length in shape])
    return keras.layers.Reshape([int(length) for length in shape][1:])(value)


def squeeze(node: Any, value: Any) -> Any:
    import keras

    axes = [axis % len(value.shape) for axis in node.attr["squeeze_dims"].list.i]
    if not symbolic(value):
        return np.squeeze(value, tuple(axes))
    return keras.layers.Reshape([length for axis, length in enumerate(value.shape) if axis not in [0, *axes]])(value)


def expand_dims(_node: Any, value: Any, axis: Any) -> Any:
    import keras

    if not symbolic(value):
        return np.expand_dims(value, int(axis))
    shape = list(value.shape[1:])
    shape.insert(int(axis) - 1 if int(axis) > 0 else len(shape) + 1 + int(axis), 1)
    return keras.layers.Reshape(shape)(value)


def _affine(scale: Any, offset: Any, value: Any) -> Any:
    """A layer for scale · value + offset, with one number, or one value per channel."""
    import keras

    def plain(array: Any) -> Any:
        flat = np.asarray(array, np.float64).ravel()
        if np.size(array) != 1 and flat.size != value.shape[-1]:
            raise ModelFileError(
                "refused: the graph adds or multiplies an array that does not have one value per channel"
            )
        return float(flat[0]) if flat.size == 1 else flat.tolist()

    return keras.layers.Rescaling(plain(scale), plain(offset))(value)


def elementwise(operation: Callable[[Any, Any], Any], layer: str) -> Callable[..., Any]:
    def translate(_node: Any, left: Any, right: Any) -> Any:
        import keras

        if symbolic(left) and symbolic(right):
            return getattr(keras.layers, layer)()([left, right])
        if not symbolic(left) and not symbolic(right):
            return operation(np.asarray(left), np.asarray(right))
        # One side is constant and the operation is affine in the other: two points determine scale and offset.
        constant = np.asarray(left if symbolic(right) else right, np.float64)
        zero, one = (operation(x, constant) if symbolic(left) else operation(constant, x) for x in (0.0, 1.0))
        return _affine(one - zero, zero, left if symbolic(left) else right)

    return translate


def divide(_node: Any, left: Any, right: Any) -> Any:
    if symbolic(right):
        raise ModelFileError("refused: the graph divides by a value that depends on the image")
    return _affine(1 / np.asarray(right, np.float64), 0.0, left) if symbolic(left) else left / right


def batch_norm(node: Any, value: Any, *statistics: NDArray[Any]) -> Any:
    scale, offset, mean, variance = statistics
    factor = scale / np.sqrt(variance.astype(np.float64) + node.attr["epsilon"].f)
    return _affine(factor, offset - mean * factor, value)

"""TensorFlow operations of a graph, each as the Keras layer that does the same.

A translation takes the operation's node and its inputs, and returns its output. Values are Keras tensors where they
depend on the model's input, NumPy arrays where they do not, and lists where they are shapes (−1 for the batch).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.errors import ModelFileError
from digits_training.untrusted.built import LEAVE_SIZE


def _symbolic(value: Any) -> bool:
    return not isinstance(value, np.ndarray | list)


def _same(_node: Any, value: Any) -> Any:
    return value


def _shape(_node: Any, value: Any) -> list[int]:
    return [-1 if length is None else int(length) for length in value.shape]


def _strided_slice(_node: Any, value: Any, begin: Any, end: Any, _strides: Any) -> Any:
    """An element of a shape; the only use a plain model has for it."""
    if _symbolic(value) or len(begin) != 1:
        raise ModelFileError("refused: the operation StridedSlice on an array")
    return value[int(begin[0])] if int(end[0]) == int(begin[0]) + 1 else value[int(begin[0]) : int(end[0])]


def _pack(_node: Any, *values: Any) -> list[int]:
    return [int(value) for value in values]


def _reshape(_node: Any, value: Any, shape: Any) -> Any:
    import keras

    if not _symbolic(value):
        return np.reshape(value, [int(length) for length in shape])
    return keras.layers.Reshape([int(length) for length in shape][1:])(value)


def _squeeze(node: Any, value: Any) -> Any:
    import keras

    axes = [axis % len(value.shape) for axis in node.attr["squeeze_dims"].list.i]
    if not _symbolic(value):
        return np.squeeze(value, tuple(axes))
    return keras.layers.Reshape([length for axis, length in enumerate(value.shape) if axis not in [0, *axes]])(value)


def _expand_dims(_node: Any, value: Any, axis: Any) -> Any:
    import keras

    if not _symbolic(value):
        return np.expand_dims(value, int(axis))
    shape = list(value.shape[1:])
    shape.insert(int(axis) - 1 if int(axis) > 0 else len(shape) + 1 + int(axis), 1)
    return keras.layers.Reshape(shape)(value)


def _affine(scale: Any, offset: Any, value: Any) -> Any:
    """A layer for scale · value + offset, for numbers or one value a channel."""
    import keras

    def plain(array: Any) -> Any:
        flat = np.asarray(array, np.float64).ravel()
        if np.size(array) != 1 and flat.size != value.shape[-1]:
            raise ModelFileError("refused: the graph adds or multiplies an array that is not one value a channel")
        return float(flat[0]) if flat.size == 1 else flat.tolist()

    return keras.layers.Rescaling(plain(scale), plain(offset))(value)


def _arithmetic(operation: Callable[[Any, Any], Any], layer: str) -> Callable[..., Any]:
    def translate(_node: Any, left: Any, right: Any) -> Any:
        import keras

        if _symbolic(left) and _symbolic(right):
            return getattr(keras.layers, layer)()([left, right])
        if not _symbolic(left) and not _symbolic(right):
            return operation(np.asarray(left), np.asarray(right))
        # One side is constant, the operation affine in the other: two points of it tell scale and offset.
        constant = np.asarray(left if _symbolic(right) else right, np.float64)
        zero, one = (operation(x, constant) if _symbolic(left) else operation(constant, x) for x in (0.0, 1.0))
        return _affine(one - zero, zero, left if _symbolic(left) else right)

    return translate


def _divide(_node: Any, left: Any, right: Any) -> Any:
    if _symbolic(right):
        raise ModelFileError("refused: the graph divides by what depends on the image")
    return _affine(1 / np.asarray(right, np.float64), 0.0, left) if _symbolic(left) else left / right


def _batch_norm(node: Any, value: Any, *statistics: NDArray[Any]) -> Any:
    scale, offset, mean, variance = statistics
    factor = scale / np.sqrt(variance.astype(np.float64) + node.attr["epsilon"].f)
    return _affine(factor, offset - mean * factor, value)


def _dense(node: Any, value: Any, kernel: NDArray[Any]) -> Any:
    import keras

    if node.attr["transpose_a"].b or not _symbolic(value) or _symbolic(kernel):
        raise ModelFileError("refused: the operation MatMul on other things than features and weights")
    kernel = kernel.T if node.attr["transpose_b"].b else kernel
    layer = keras.layers.Dense(kernel.shape[1], use_bias=False)
    result = layer(value)
    layer.set_weights([kernel])
    return result


def _convolution(node: Any, value: Any, kernel: NDArray[Any]) -> Any:
    import keras

    depthwise = node.op != "Conv2D"
    shape: dict[str, Any] = {
        "kernel_size": kernel.shape[:2],
        "strides": _spatial(node, "strides"),
        "padding": _padding(node),
        "dilation_rate": _spatial(node, "dilations"),
        "use_bias": False,
    }
    if depthwise:
        layer = keras.layers.DepthwiseConv2D(depth_multiplier=kernel.shape[3], **shape)
    else:
        layer = keras.layers.Conv2D(kernel.shape[3], **shape)
    result = layer(value)
    layer.set_weights([kernel])
    return result


def _pooling(layer: str) -> Callable[..., Any]:
    def translate(node: Any, value: Any) -> Any:
        import keras

        size, strides = _spatial(node, "ksize"), _spatial(node, "strides")
        return getattr(keras.layers, layer)(size, strides, padding=_padding(node))(value)

    return translate


def _mean(node: Any, value: Any, axes: Any) -> Any:
    import keras

    if not _symbolic(value) or sorted(int(axis) for axis in np.ravel(axes)) != [1, 2]:
        raise ModelFileError("refused: the operation Mean over other axes than height and width")
    return keras.layers.GlobalAveragePooling2D(keepdims=node.attr["keep_dims"].b)(value)


def _pad(_node: Any, value: Any, paddings: NDArray[Any]) -> Any:
    import keras

    return keras.layers.ZeroPadding2D([[int(side) for side in axis] for axis in paddings[1:3]])(value)


def _resize(_node: Any, value: Any, size: Any) -> Any:
    """Images of the size that is asked for already; others would be changed."""
    given, wanted = list(value.shape[1:3]), [int(length) for length in size]
    if not _symbolic(value) or given != wanted:
        raise ModelFileError(
            f"refused: the graph resizes {given[0]} × {given[1]} to {wanted[0]} × {wanted[1]}: {LEAVE_SIZE}"
        )
    return value


def _fill(_node: Any, *_values: Any) -> Any:
    """What augmentation leaves behind in a graph that has no use for it."""
    raise ModelFileError("refused: the graph computes with the operation Fill")


def _concatenate(_node: Any, *values: Any) -> Any:
    import keras

    *parts, axis = values
    if not all(_symbolic(part) for part in parts):
        raise ModelFileError("refused: the operation ConcatV2 on constants")
    return keras.layers.Concatenate(axis=int(axis))(parts)


def _activation(name: str) -> Callable[..., Any]:
    def translate(_node: Any, value: Any) -> Any:
        import keras

        return keras.layers.Activation(name)(value)

    return translate


def _leaky_relu(node: Any, value: Any) -> Any:
    import keras

    return keras.layers.LeakyReLU(negative_slope=node.attr["alpha"].f)(value)


def _spatial(node: Any, attribute: str) -> tuple[int, int]:
    if node.attr["data_format"].s not in {b"", b"NHWC"}:
        raise ModelFileError("refused: images with their channels first")
    _, height, width, _ = node.attr[attribute].list.i or (1, 1, 1, 1)
    return int(height), int(width)


def _padding(node: Any) -> str:
    padding = node.attr["padding"].s.decode(errors="replace").lower()
    if padding not in {"same", "valid"}:
        raise ModelFileError(f"refused: the padding {padding!r}")
    return str(padding)


TRANSLATIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("Identity", "ReadVariableOp", "Cast", "StopGradient", "DisableCopyOnRead"), _same),
    "Shape": _shape,
    "StridedSlice": _strided_slice,
    "Pack": _pack,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), _arithmetic(lambda a, b: a + b, "Add")),
    "Sub": _arithmetic(lambda a, b: a - b, "Subtract"),
    "Mul": _arithmetic(lambda a, b: a * b, "Multiply"),
    "RealDiv": _divide,
    "Rsqrt": lambda _node, value: 1 / np.sqrt(value),
    "FusedBatchNormV3": _batch_norm,
    "MatMul": _dense,
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "MaxPool": _pooling("MaxPooling2D"),
    "AvgPool": _pooling("AveragePooling2D"),
    "Fill": _fill,
    "Mean": _mean,
    "ConcatV2": _concatenate,
    **dict.fromkeys(("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"), _resize),
    "Pad": _pad,
    "LeakyRelu": _leaky_relu,
    **{
        name.title().replace("_", ""): _activation(name)
        for name in ("relu", "relu6", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "softmax")
    },
}

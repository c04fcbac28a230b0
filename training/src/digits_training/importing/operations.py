"""TensorFlow operations of a graph, each as the Keras layer that does the same.

A translation takes the operation's node and its inputs, and returns its output. Values that
depend on the model's input are Keras tensors, constants are NumPy arrays, shapes are lists (−1 for the batch).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.errors import ModelFileError
from digits_training.importing import arithmetic
from digits_training.untrusted.built import LEAVE_SIZE


def _dense(node: Any, value: Any, kernel: NDArray[Any]) -> Any:
    import keras

    if node.attr["transpose_a"].b or not arithmetic.symbolic(value) or arithmetic.symbolic(kernel):
        raise ModelFileError("refused: the operation MatMul on values that are not features and weights")
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

    if not arithmetic.symbolic(value) or sorted(int(axis) for axis in np.ravel(axes)) != [1, 2]:
        raise ModelFileError("refused: the operation Mean over axes that are not height and width")
    return keras.layers.GlobalAveragePooling2D(keepdims=node.attr["keep_dims"].b)(value)


def _pad(_node: Any, value: Any, paddings: NDArray[Any]) -> Any:
    import keras

    return keras.layers.ZeroPadding2D([[int(side) for side in axis] for axis in paddings[1:3]])(value)


def _resize(_node: Any, value: Any, size: Any) -> Any:
    """The images, if they already have the size; otherwise the operation would change them."""
    given, wanted = list(value.shape[1:3]), [int(length) for length in size]
    if not arithmetic.symbolic(value) or given != wanted:
        raise ModelFileError(
            f"refused: the graph resizes {given[0]} × {given[1]} to {wanted[0]} × {wanted[1]}: {LEAVE_SIZE}"
        )
    return value


def _fill(_node: Any, *_values: Any) -> Any:
    """Refuses an operation that augmentation leaves in a graph."""
    raise ModelFileError("refused: the graph computes with the operation Fill")


def _concatenate(_node: Any, *values: Any) -> Any:
    import keras

    *parts, axis = values
    if not all(arithmetic.symbolic(part) for part in parts):
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
    **dict.fromkeys(("Identity", "ReadVariableOp", "Cast", "StopGradient", "DisableCopyOnRead"), arithmetic.same),
    "Shape": arithmetic.shape_of,
    "StridedSlice": arithmetic.strided_slice,
    "Pack": arithmetic.pack,
    "Reshape": arithmetic.reshape,
    "Squeeze": arithmetic.squeeze,
    "ExpandDims": arithmetic.expand_dims,
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), arithmetic.elementwise(lambda a, b: a + b, "Add")),
    "Sub": arithmetic.elementwise(lambda a, b: a - b, "Subtract"),
    "Mul": arithmetic.elementwise(lambda a, b: a * b, "Multiply"),
    "RealDiv": arithmetic.divide,
    "Rsqrt": lambda _node, value: 1 / np.sqrt(value),
    "FusedBatchNormV3": arithmetic.batch_norm,
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

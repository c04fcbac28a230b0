"""LiteRT models that attack what reads or runs them."""

from collections.abc import Callable
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from support.models.tflite import SCALED, Editor, Operators


def with_custom_operator(model: bytes) -> bytes:
    """A model that calls code outside of LiteRT, as TensorFlow's "flex" operators do."""
    editor = Editor(model)
    return editor.finished(editor.total(editor.apply(Operators.CUSTOM, [SCALED], custom=b"FlexReadFile"), 3))


def with_huge_padding(model: bytes) -> bytes:
    """A model whose first images are padded to gigabytes, whatever its tensors claim."""
    editor = Editor(model)
    sides = editor.constant(np.array([[0, 0], [0, 20_000], [0, 20_000]], np.int32))
    return editor.finished(editor.total(editor.apply(Operators.PAD, [SCALED, sides], schema.PadOptionsT()), 3))


def with_doubling(model: bytes, times: int = 40) -> bytes:
    """A model that joins its images to themselves, over and over."""
    editor = Editor(model)
    tensor = SCALED
    for _ in range(times):
        options = schema.ConcatenationOptionsT()
        options.axis = 1
        tensor = editor.apply(Operators.CONCATENATION, [tensor, tensor], options)
    return editor.finished(editor.total(tensor, 3))


def with_outer_product(model: bytes) -> bytes:
    """A model that adds a long row to a long column."""
    editor = Editor(model)
    row, column = (editor.constant(np.ones(shape, np.float32)) for shape in ((1, 30_000), (30_000, 1)))
    return editor.finished(editor.total(editor.apply(Operators.ADD, [row, column], schema.AddOptionsT(), rank=2), 2))


def with_hidden_outer_product(model: bytes) -> bytes:
    """A model that sets the images of a batch against each other, again and again: harmless in a batch of one."""
    editor = Editor(model)
    sides = editor.constant(np.array([1, 2], np.int32))
    first = tensor = editor.apply(Operators.SUM, [SCALED, sides], schema.ReducerOptionsT(), rank=1)
    for rank in range(1, 4):
        at_end = editor.constant(np.array(rank, np.int32))
        tensor = editor.apply(Operators.EXPAND_DIMS, [tensor, at_end], schema.ExpandDimsOptionsT(), rank=rank + 1)
        tensor = editor.apply(Operators.ADD, [tensor, first], schema.AddOptionsT(), rank=rank + 1)
    return editor.finished(editor.total(tensor, 4))


def with_convolution(model: bytes, change: Callable[[Any], None] = lambda _: None) -> bytes:
    """A good model with a convolution, a pooling and a sum; `change` gets the options of the convolution."""
    editor = Editor(model)
    shape = editor.constant(np.array([-1, 28, 28, 1], np.int32))
    images = editor.apply(Operators.RESHAPE, [SCALED, shape], schema.ReshapeOptionsT(), rank=4)
    convolution = schema.Conv2DOptionsT()
    convolution.strideW = convolution.strideH = convolution.dilationWFactor = convolution.dilationHFactor = 1
    change(convolution)
    weights, bias = (editor.constant(np.zeros(shape, np.float32)) for shape in ((4, 3, 3, 1), (4,)))
    features = editor.apply(Operators.CONV_2D, [images, weights, bias], convolution, rank=4)
    window = schema.Pool2DOptionsT()
    window.strideW = window.strideH = window.filterWidth = window.filterHeight = 2
    pooled = editor.apply(Operators.MAX_POOL_2D, [features], window, rank=4)
    return editor.finished(editor.total(pooled, 4))


def with_second_graph(model: bytes) -> bytes:
    editor = Editor(model)
    editor.model.subgraphs.append(editor.graph)
    return editor.packed()


def with_huge_claim(model: bytes) -> bytes:
    """A model with a result that claims to have gigabytes."""
    editor = Editor(model)
    editor.graph.tensors[editor.graph.operators[-1].inputs[0]].shape = [2**27, 10]
    return editor.packed()


def with_text(model: bytes) -> bytes:
    """A model with a tensor of texts, whose elements have different lengths."""
    editor = Editor(model)
    editor.graph.tensors[editor.constant(np.zeros(4, np.int32))].type = schema.TensorType.STRING
    return editor.packed()


def with_work(model: bytes, channels: int = 16) -> bytes:
    """A good model that takes about as long as the `cnn` network: two convolutions, whose sum of nothing is added."""
    editor = Editor(model)
    shape = editor.constant(np.array([-1, 28, 28, 1], np.int32))
    tensor = editor.apply(Operators.RESHAPE, [SCALED, shape], schema.ReshapeOptionsT(), rank=4)
    for inputs in (1, channels):
        options = schema.Conv2DOptionsT()
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        weights, bias = (
            editor.constant(np.zeros(each, np.float32)) for each in ((channels, 3, 3, inputs), (channels,))
        )
        tensor = editor.apply(Operators.CONV_2D, [tensor, weights, bias], options, rank=4)
    return editor.finished(editor.total(tensor, 4))


def with_bytes_for_floats(model: bytes) -> bytes:
    """A model that reshapes float32[n] "to" uint8[n]: LiteRT copies 4n bytes into n."""
    editor = Editor(model)
    shape = editor.constant(np.array([-1, 28, 28], np.int32))
    images = editor.apply(Operators.RESHAPE, [SCALED, shape], schema.ReshapeOptionsT(), kind=schema.TensorType.UINT8)
    return editor.finished(editor.total(editor.apply(Operators.CAST, [images], schema.CastOptionsT()), 3))


def with_bytes_compared(model: bytes) -> bytes:
    """A model that compares bytes: LiteRT expects a quantisation, which is missing, and aborts."""
    editor = Editor(model)
    left, right = (editor.constant(np.ones(3, np.uint8)) for _ in range(2))
    less = editor.apply(Operators.LESS, [left, right], schema.LessOptionsT(), rank=1, kind=schema.TensorType.BOOL)
    return editor.finished(editor.total(editor.apply(Operators.CAST, [less], schema.CastOptionsT(), rank=1), 1))


def with_bytes_added(model: bytes) -> bytes:
    editor = Editor(model)
    left, right = (editor.constant(np.ones(3, np.uint8)) for _ in range(2))
    added = editor.apply(Operators.ADD, [left, right], schema.AddOptionsT(), rank=1, kind=schema.TensorType.UINT8)
    return editor.finished(editor.total(editor.apply(Operators.CAST, [added], schema.CastOptionsT(), rank=1), 1))


def with_softmax_of_nothing(model: bytes) -> bytes:
    """A model that takes the softmax of a tensor without elements."""
    editor = Editor(model)
    bounds = [editor.constant(np.array(values, np.int32)) for values in ([0, 0, 0], [1, 0, 28], [1, 1, 1])]
    empty = editor.apply(Operators.STRIDED_SLICE, [SCALED, *bounds], schema.StridedSliceOptionsT())
    return editor.finished(editor.total(editor.apply(Operators.SOFTMAX, [empty], schema.SoftmaxOptionsT()), 3))


def with_an_element_beyond_the_end(model: bytes) -> bytes:
    """A model that takes the hundredth number of a shape of three."""
    editor = Editor(model)
    options = schema.ShapeOptionsT()
    options.outType = schema.TensorType.INT32
    shape = editor.apply(Operators.SHAPE, [SCALED], options, rank=1, kind=schema.TensorType.INT32)
    place = editor.constant(np.array([100], np.int32))
    number = editor.apply(
        Operators.GATHER, [shape, place], schema.GatherOptionsT(), rank=1, kind=schema.TensorType.INT32
    )
    images = editor.apply(Operators.RESHAPE, [SCALED, number], schema.ReshapeOptionsT(), rank=1)
    return editor.finished(editor.total(images, 1))


def with_a_bias_for_other_channels(model: bytes) -> bytes:
    """A convolution of four channels with a bias for one."""
    editor = Editor(model)
    shape = editor.constant(np.array([-1, 28, 28, 1], np.int32))
    images = editor.apply(Operators.RESHAPE, [SCALED, shape], schema.ReshapeOptionsT(), rank=4)
    options = schema.Conv2DOptionsT()
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    weights, bias = (editor.constant(np.zeros(shape, np.float32)) for shape in ((4, 3, 3, 1), (1,)))
    return editor.finished(editor.total(editor.apply(Operators.CONV_2D, [images, weights, bias], options, rank=4), 4))


def with_constant_images(model: bytes) -> bytes:
    """A depthwise convolution of constants: LiteRT reads memory outside its buffers."""
    editor = Editor(model)
    images, weights = (
        editor.constant(np.ones((2, 1, 4, 4), np.float32)),
        editor.constant(np.ones((1, 2, 4, 4), np.float32)),
    )
    options = schema.DepthwiseConv2DOptionsT()
    options.strideW = options.strideH = 2
    options.depthMultiplier = options.dilationWFactor = options.dilationHFactor = 1
    made = editor.apply(Operators.DEPTHWISE_CONV_2D, [images, weights], options, rank=4)
    return editor.finished(editor.total(made, 4))


def with_quantisation(model: bytes) -> bytes:
    """A model whose weights claim to be quantised."""
    editor = Editor(model)
    quantisation = schema.QuantizationParametersT()
    quantisation.scale, quantisation.zeroPoint = np.array([0.5], np.float32), np.array([3], np.int64)
    editor.graph.tensors[editor.graph.operators[-1].inputs[0]].quantization = quantisation
    return editor.packed()


def with_an_unknown_activation(model: bytes) -> bytes:
    return with_convolution(model, lambda options: setattr(options, "fusedActivationFunction", 77))


def with_metadata_beyond_the_end(model: bytes) -> bytes:
    """A model whose metadata is in a buffer that does not exist; LiteRT reads it without a check."""
    editor = Editor(model)
    editor.model.metadata[0].buffer = 1_000_000
    return editor.packed()


CORRUPTING = (
    with_bytes_for_floats,
    with_bytes_compared,
    with_bytes_added,
    with_softmax_of_nothing,
    with_an_element_beyond_the_end,
    with_a_bias_for_other_channels,
    with_constant_images,
    with_quantisation,
    with_an_unknown_activation,
    with_metadata_beyond_the_end,
)
"""Changes that keep a file well-formed and its memory bounded, but that LiteRT must not get."""

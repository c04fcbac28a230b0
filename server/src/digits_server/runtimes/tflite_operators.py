"""The operators that a model of this server may use, each with its exact signature.

TensorFlow's converter writes these operators, and no others, for our own networks and for the Keras layers that
`digits-train import` accepts. Numbers are those of TensorFlow's schema.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from digits_server.runtimes import tflite_integers as integers
from digits_server.runtimes import tflite_shapes as shapes
from digits_server.runtimes.tflite_calls import Call, Shape


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    options  number of the type of its options; 0: no options
    takes    types of its inputs and outputs, a letter each; a capital letter for a constant, - for an input left out
    shape    the shape of its output
    rank     axes of its largest tensor
    values   the elements of an output of integers
    """

    name: str
    options: int
    takes: re.Pattern[str]
    shape: Callable[[Call], Shape]
    rank: int = 4
    values: Callable[[Call], list[int]] = integers.no_values


def _operator(name: str, options: int, takes: str, shape: Callable[[Call], Shape], **others: Any) -> Operator:
    """`takes` is a regular expression; a small letter in it stands for a constant too."""
    return Operator(name, options, re.compile(takes.replace("f", "[fF]").replace("i", "[iI]")), shape, **others)


_ONE, _TWO, _REDUCED, _COMPARED = "f>f", "ff>f", "fI>f", "ff>b"

OPERATORS = {
    0: _operator("ADD", 11, _TWO, shapes.arithmetic, rank=5),
    1: _operator("AVERAGE_POOL_2D", 5, _ONE, shapes.pool),
    2: _operator("CONCATENATION", 10, "f+>f|i+>i", shapes.concatenate, values=integers.joined),
    3: _operator("CONV_2D", 1, "fF[F-]?>f", shapes.convolve),
    4: _operator("DEPTHWISE_CONV_2D", 2, "fF[F-]?>f", shapes.convolve_depthwise),
    9: _operator("FULLY_CONNECTED", 8, "fF[F-]?>f", shapes.fully_connect, rank=2),
    14: _operator("LOGISTIC", 0, _ONE, shapes.same),
    17: _operator("MAX_POOL_2D", 5, _ONE, shapes.pool),
    18: _operator("MUL", 21, _TWO, shapes.arithmetic, rank=5),
    19: _operator("RELU", 0, _ONE, shapes.same),
    21: _operator("RELU6", 0, _ONE, shapes.same),
    22: _operator("RESHAPE", 17, "fi>f", shapes.reshape, rank=5),
    25: _operator("SOFTMAX", 9, _ONE, shapes.same),
    28: _operator("TANH", 0, _ONE, shapes.same),
    34: _operator("PAD", 22, "fI>f", shapes.pad),
    36: _operator("GATHER", 23, "iI>i", shapes.gather, rank=1, values=integers.gathered),
    37: _operator("BATCH_TO_SPACE_ND", 24, "fII>f", shapes.batch_to_space),
    38: _operator("SPACE_TO_BATCH_ND", 25, "fII>f", shapes.space_to_batch),
    39: _operator("TRANSPOSE", 26, "fI>f", shapes.transpose),
    40: _operator("MEAN", 27, _REDUCED, shapes.reduce, rank=5),
    41: _operator("SUB", 28, _TWO, shapes.arithmetic, rank=5),
    42: _operator("DIV", 29, _TWO, shapes.arithmetic),
    45: _operator("STRIDED_SLICE", 32, "fIII>f|iIII>i", shapes.crop, values=integers.picked),
    47: _operator("EXP", 33, _ONE, shapes.same),
    50: _operator("LOG_SOFTMAX", 36, _ONE, shapes.same),
    53: _operator("CAST", 37, "u>f", shapes.same),
    54: _operator("PRELU", 0, "fF>f", shapes.scale_below_zero),
    55: _operator("MAXIMUM", 39, _TWO, shapes.broadcast),
    57: _operator("MINIMUM", 39, _TWO, shapes.broadcast),
    58: _operator("LESS", 41, _COMPARED, shapes.broadcast),
    59: _operator("NEG", 42, _ONE, shapes.same, rank=5),
    61: _operator("GREATER", 44, _COMPARED, shapes.broadcast),
    62: _operator("GREATER_EQUAL", 45, _COMPARED, shapes.broadcast),
    63: _operator("LESS_EQUAL", 46, _COMPARED, shapes.broadcast),
    70: _operator("EXPAND_DIMS", 52, "fI>f", shapes.expand_dims),
    71: _operator("EQUAL", 53, _COMPARED, shapes.broadcast),
    73: _operator("LOG", 0, _ONE, shapes.same),
    74: _operator("SUM", 27, _REDUCED, shapes.reduce),
    75: _operator("SQRT", 0, _ONE, shapes.same),
    76: _operator("RSQRT", 0, _ONE, shapes.same, rank=5),
    77: _operator("SHAPE", 55, "f>i", shapes.shape_of, values=integers.sides),
    81: _operator("REDUCE_PROD", 27, "iI>i", shapes.reduce, rank=1, values=integers.multiplied),
    82: _operator("REDUCE_MAX", 27, _REDUCED, shapes.reduce),
    83: _operator("PACK", 59, "i+>i", shapes.pack, values=integers.packed),
    92: _operator("SQUARE", 66, _ONE, shapes.same, rank=5),
    93: _operator("ZEROS_LIKE", 67, _ONE, shapes.same),
    98: _operator("LEAKY_RELU", 75, _ONE, shapes.same),
    99: _operator("SQUARED_DIFFERENCE", 76, _TWO, shapes.broadcast),
    101: _operator("ABS", 78, _ONE, shapes.same),
    111: _operator("ELU", 0, _ONE, shapes.same),
    117: _operator("HARD_SWISH", 91, _ONE, shapes.same),
    123: _operator("SELECT_V2", 98, "bff>f", shapes.broadcast),
    150: _operator("GELU", 116, _ONE, shapes.same),
}
"""The operators by number."""

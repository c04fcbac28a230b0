"""The part of LiteRT's file format that a model of this server may use: tables, and operators with their options.

Field and operator numbers are those of TensorFlow's schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from collections.abc import Callable
from dataclasses import dataclass

from digits_server.runtimes import tflite_shapes as shapes
from digits_server.runtimes.flatbuffer import Absent, Kind, Scalar, Schema, Table, Text, Union, Vector
from digits_server.runtimes.tflite_shapes import Call, Shape

IDENTIFIER = b"TFL3"

TYPE_BYTES = {0: 4, 2: 4, 3: 1, 4: 8, 6: 1}
"""Bytes of an element by its type: float32, int32, uint8, int64, bool. Others, and quantised numbers, are not taken."""

BYTE, INT, LONG, UINT, ULONG, FLOAT, BOOL = map(Scalar, "biqIQf?")

_ACTIVATION: dict[str, Kind] = {"activation": BYTE}
_ARITHMETIC: dict[str, Kind] = {**_ACTIVATION, "pot_scale_int16": BOOL}
_WINDOW: dict[str, Kind] = {"padding": BYTE, "stride_w": INT, "stride_h": INT}
_DILATION: dict[str, Kind] = {"dilation_w": INT, "dilation_h": INT}

OPTIONS: dict[int, tuple[str, dict[str, Kind]]] = {
    1: ("Conv2DOptions", {**_WINDOW, **_ACTIVATION, **_DILATION, "quantized_bias_type": BYTE}),
    2: ("DepthwiseConv2DOptions", {**_WINDOW, "depth_multiplier": INT, **_ACTIVATION, **_DILATION}),
    5: ("Pool2DOptions", {**_WINDOW, "filter_w": INT, "filter_h": INT, **_ACTIVATION}),
    8: (
        "FullyConnectedOptions",
        {
            **_ACTIVATION,
            "weights_format": Absent(),
            "keep_num_dims": BOOL,
            "asymmetric_quantize_inputs": BOOL,
            "quantized_bias_type": BYTE,
        },
    ),
    9: ("SoftmaxOptions", {"beta": FLOAT}),
    10: ("ConcatenationOptions", {"axis": INT, **_ACTIVATION}),
    11: ("AddOptions", _ARITHMETIC),
    17: ("ReshapeOptions", {"new_shape": Vector(INT)}),
    21: ("MulOptions", _ACTIVATION),
    22: ("PadOptions", {}),
    26: ("TransposeOptions", {}),
    27: ("ReducerOptions", {"keep_dims": BOOL}),
    28: ("SubOptions", _ARITHMETIC),
    29: ("DivOptions", _ACTIVATION),
    32: ("StridedSliceOptions", dict.fromkeys(("begin", "end", "ellipsis", "new_axis", "shrink_axis"), INT)),
    33: ("ExpOptions", {}),
    36: ("LogSoftmaxOptions", {}),
    37: ("CastOptions", {"from": BYTE, "to": BYTE}),
    39: ("MaximumMinimumOptions", {}),
    41: ("LessOptions", {}),
    42: ("NegOptions", {}),
    43: ("PadV2Options", {}),
    44: ("GreaterOptions", {}),
    45: ("GreaterEqualOptions", {}),
    46: ("LessEqualOptions", {}),
    52: ("ExpandDimsOptions", {}),
    55: ("ShapeOptions", {"type": BYTE}),
    59: ("PackOptions", {"count": INT, "axis": INT}),
    66: ("SquareOptions", {}),
    67: ("ZerosLikeOptions", {}),
    75: ("LeakyReluOptions", {"alpha": FLOAT}),
    76: ("SquaredDifferenceOptions", {}),
    78: ("AbsOptions", {}),
    91: ("HardSwishOptions", {}),
    98: ("SelectV2Options", {}),
    116: ("GeluOptions", {"approximate": BOOL}),
}
"""Tables of operators' options by the number of their type."""

SCHEMA: Schema = {
    "Model": {
        "version": UINT,
        "operator_codes": Vector(Table("OperatorCode")),
        "subgraphs": Vector(Table("SubGraph")),
        "description": Text(),
        "buffers": Vector(Table("Buffer")),
        "metadata_buffer": Vector(INT),
        "metadata": Vector(Table("Metadata")),
        "signatures": Vector(Table("Signature")),
    },
    "OperatorCode": {"short_code": BYTE, "custom_code": Text(), "version": INT, "code": INT},
    "SubGraph": {
        "tensors": Vector(Table("Tensor")),
        "inputs": Vector(INT),
        "outputs": Vector(INT),
        "operators": Vector(Table("Operator")),
        "name": Text(),
        "debug_metadata": INT,
    },
    "Tensor": {
        "shape": Vector(INT),
        "type": BYTE,
        "buffer": UINT,
        "name": Text(),
        "quantization": Table("Quantization"),
        "is_variable": Absent(),
        "sparsity": Absent(),
        "shape_signature": Vector(INT),
        "has_rank": BOOL,
        "variant_tensors": Absent(),
        "external_buffer": Absent(),
    },
    "Quantization": {},
    "Operator": {
        "code": UINT,
        "inputs": Vector(INT),
        "outputs": Vector(INT),
        "options_type": Scalar("B"),
        "options": Union("options_type", {number: name for number, (name, _) in OPTIONS.items()}),
        "custom_options": Absent(),
        "custom_options_format": Absent(),
        "mutating_variable_inputs": Absent(),
        "intermediates": Absent(),
        "large_custom_options_offset": Absent(),
        "large_custom_options_size": Absent(),
        "options_2_type": Absent(),
        "options_2": Absent(),
        "debug_metadata": INT,
    },
    "Buffer": {"data": Vector(Scalar("B")), "offset": Absent(), "size": Absent()},
    "Metadata": {"name": Text(), "buffer": UINT},
    "Signature": {
        "inputs": Vector(Table("NamedTensor")),
        "outputs": Vector(Table("NamedTensor")),
        "key": Text(),
        "tag": Absent(),
        "subgraph": UINT,
    },
    "NamedTensor": {"name": Text(), "tensor": UINT},
    **dict(OPTIONS.values()),
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    options   number of the type of its options; 0: it has none
    shape     the shape of its output
    optional  which input may be left out, counted from 0; None: none
    """

    name: str
    options: int
    shape: Callable[[Call], Shape]
    optional: int | None = None


OPERATORS = {
    0: Operator("ADD", 11, shapes.broadcast),
    1: Operator("AVERAGE_POOL_2D", 5, shapes.pool),
    2: Operator("CONCATENATION", 10, shapes.concatenate),
    3: Operator("CONV_2D", 1, shapes.convolve, optional=2),
    4: Operator("DEPTHWISE_CONV_2D", 2, shapes.convolve_depthwise, optional=2),
    9: Operator("FULLY_CONNECTED", 8, shapes.fully_connect, optional=2),
    14: Operator("LOGISTIC", 0, shapes.same),
    17: Operator("MAX_POOL_2D", 5, shapes.pool),
    18: Operator("MUL", 21, shapes.broadcast),
    19: Operator("RELU", 0, shapes.same),
    20: Operator("RELU_N1_TO_1", 0, shapes.same),
    21: Operator("RELU6", 0, shapes.same),
    22: Operator("RESHAPE", 17, shapes.reshape),
    25: Operator("SOFTMAX", 9, shapes.same),
    28: Operator("TANH", 0, shapes.same),
    34: Operator("PAD", 22, shapes.pad),
    39: Operator("TRANSPOSE", 26, shapes.transpose),
    40: Operator("MEAN", 27, shapes.reduce),
    41: Operator("SUB", 28, shapes.broadcast),
    42: Operator("DIV", 29, shapes.broadcast),
    45: Operator("STRIDED_SLICE", 32, shapes.pick_one),
    47: Operator("EXP", 33, shapes.same),
    50: Operator("LOG_SOFTMAX", 36, shapes.same),
    53: Operator("CAST", 37, shapes.same),
    54: Operator("PRELU", 0, shapes.broadcast),
    55: Operator("MAXIMUM", 39, shapes.broadcast),
    57: Operator("MINIMUM", 39, shapes.broadcast),
    58: Operator("LESS", 41, shapes.broadcast),
    59: Operator("NEG", 42, shapes.same),
    60: Operator("PADV2", 43, shapes.pad),
    61: Operator("GREATER", 44, shapes.broadcast),
    62: Operator("GREATER_EQUAL", 45, shapes.broadcast),
    63: Operator("LESS_EQUAL", 46, shapes.broadcast),
    70: Operator("EXPAND_DIMS", 52, shapes.expand_dims),
    73: Operator("LOG", 0, shapes.same),
    74: Operator("SUM", 27, shapes.reduce),
    75: Operator("SQRT", 0, shapes.same),
    76: Operator("RSQRT", 0, shapes.same),
    77: Operator("SHAPE", 55, shapes.shape_of),
    82: Operator("REDUCE_MAX", 27, shapes.reduce),
    83: Operator("PACK", 59, shapes.pack_scalars),
    92: Operator("SQUARE", 66, shapes.same),
    93: Operator("ZEROS_LIKE", 67, shapes.same),
    98: Operator("LEAKY_RELU", 75, shapes.same),
    99: Operator("SQUARED_DIFFERENCE", 76, shapes.broadcast),
    101: Operator("ABS", 78, shapes.same),
    111: Operator("ELU", 0, shapes.same),
    117: Operator("HARD_SWISH", 91, shapes.same),
    123: Operator("SELECT_V2", 98, shapes.broadcast),
    150: Operator("GELU", 116, shapes.same),
}
"""The operators allowed, by number: what TensorFlow's converter makes of feed-forward image classifiers."""

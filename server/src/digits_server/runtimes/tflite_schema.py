"""The part of LiteRT's file format that a model of this server may use: its tables and the options of operators.

Field and operator numbers are those of TensorFlow's schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from digits_server.runtimes.flatbuffer import Absent, Kind, Scalar, Schema, Table, Text, Union, Vector

IDENTIFIER = b"TFL3"

LETTERS = {0: "f", 2: "i", 3: "u", 6: "b"}
"""Types of elements: float32, int32, uint8, bool. Others, and quantised numbers, are refused."""

ELEMENT_BYTES = {"f": 4, "i": 4, "u": 1, "b": 1}

METADATA = (b"min_runtime_version", b"CONVERSION_METADATA")
"""Names of the metadata that TensorFlow's converter writes."""

BYTE, INT, LONG, UINT, ULONG, FLOAT, BOOL = map(Scalar, "biqIQf?")

_ACTIVATION: dict[str, Kind] = {"activation": BYTE}
_ARITHMETIC: dict[str, Kind] = {**_ACTIVATION, "pot_scale_int16": BOOL}
_WINDOW: dict[str, Kind] = {"padding": BYTE, "stride_w": INT, "stride_h": INT}
_DILATION: dict[str, Kind] = {"dilation_w": INT, "dilation_h": INT}

OPTIONS: dict[int, tuple[str, dict[str, Kind]]] = {
    1: ("Conv2DOptions", {**_WINDOW, **_ACTIVATION, **_DILATION, "quantized_bias_type": Absent()}),
    2: ("DepthwiseConv2DOptions", {**_WINDOW, "depth_multiplier": INT, **_ACTIVATION, **_DILATION}),
    5: ("Pool2DOptions", {**_WINDOW, "filter_w": INT, "filter_h": INT, **_ACTIVATION}),
    8: (
        "FullyConnectedOptions",
        {
            **_ACTIVATION,
            "weights_format": Absent(),
            "keep_num_dims": BOOL,
            "asymmetric_quantize_inputs": Absent(),
            "quantized_bias_type": Absent(),
        },
    ),
    9: ("SoftmaxOptions", {"beta": FLOAT}),
    10: ("ConcatenationOptions", {"axis": INT, **_ACTIVATION}),
    11: ("AddOptions", _ARITHMETIC),
    17: ("ReshapeOptions", {}),
    21: ("MulOptions", _ACTIVATION),
    22: ("PadOptions", {}),
    23: ("GatherOptions", {"axis": Absent(), "batch_dims": Absent()}),
    24: ("BatchToSpaceNDOptions", {}),
    25: ("SpaceToBatchNDOptions", {}),
    26: ("TransposeOptions", {}),
    27: ("ReducerOptions", {"keep_dims": BOOL}),
    28: ("SubOptions", _ARITHMETIC),
    29: ("DivOptions", _ACTIVATION),
    32: (
        "StridedSliceOptions",
        {"begin_mask": INT, "end_mask": INT, "ellipsis_mask": Absent(), "new_axis_mask": Absent(), "shrink_mask": INT},
    ),
    33: ("ExpOptions", {}),
    36: ("LogSoftmaxOptions", {}),
    37: ("CastOptions", {"from": BYTE, "to": BYTE}),
    39: ("MaximumMinimumOptions", {}),
    41: ("LessOptions", {}),
    42: ("NegOptions", {}),
    44: ("GreaterOptions", {}),
    45: ("GreaterEqualOptions", {}),
    46: ("LessEqualOptions", {}),
    52: ("ExpandDimsOptions", {}),
    53: ("EqualOptions", {}),
    55: ("ShapeOptions", {"type": BYTE}),
    59: ("PackOptions", {"count": INT, "axis": Absent()}),
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

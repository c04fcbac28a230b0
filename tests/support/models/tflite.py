"""LiteRT models changed by the format's own library."""

import pickle
from functools import cache
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np

Operators = schema.BuiltinOperator
Options = schema.BuiltinOptions
SCALED = 12
"""The tensor of the reference network that has the scaled pixels, float32[N, 28, 28]; two operators make it."""
_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}
ADD_AFTER = 2
"""Operators before those that are added."""


@cache
def _objects(model: bytes) -> bytes:
    """A model as an object of the format's library, pickled: unpickling is much faster than reading the model again."""
    return pickle.dumps(schema.ModelT.InitFromPackedBuf(model, 0))


class Editor:
    """The reference network, to which tests add operators. Their result goes into its output, so that they run."""

    def __init__(self, model: bytes) -> None:
        self.model: Any = pickle.loads(_objects(model))  # noqa: S301 - our own
        self.graph: Any = self.model.subgraphs[0]
        self._added: list[Any] = []

    def constant(self, values: Any) -> int:
        """A tensor of these values; returns its number."""
        array = np.asarray(values)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        return self._tensor(list(array.shape), buffer, _TYPES[array.dtype.name])

    def apply(
        self,
        operator: int,
        inputs: list[int],
        options: Any = None,
        *,
        rank: int = 3,
        kind: int = 0,
        custom: bytes | None = None,
    ) -> int:
        """Adds an operator; returns the number of its output, of `rank` axes whose lengths the file leaves open."""
        code = schema.OperatorCodeT()
        code.deprecatedBuiltinCode, code.builtinCode, code.version = min(operator, 127), operator, 1
        code.customCode = custom
        self.model.operatorCodes.append(code)
        call = schema.OperatorT()
        call.opcodeIndex = len(self.model.operatorCodes) - 1
        call.inputs = inputs
        call.outputs = [self._tensor([1] * rank, schema.BufferT(), kind)]
        self.graph.tensors[call.outputs[0]].shapeSignature = [-1] * rank or None
        if options is not None:
            call.builtinOptions = options
            call.builtinOptionsType = getattr(Options, type(options).__name__[:-1])
        self._added.append(call)
        return int(call.outputs[0])

    def total(self, tensor: int, rank: int) -> int:
        """Adds the sum over every axis of `tensor`."""
        axes = self.constant(np.arange(rank, dtype=np.int32))
        return self.apply(Operators.SUM, [tensor, axes], schema.ReducerOptionsT(), rank=0)

    def finished(self, tensor: int) -> bytes:
        """The model, with `tensor`, of one element, added to its output."""
        self.graph.operators[ADD_AFTER:ADD_AFTER] = self._added
        self._added = []
        output = self.apply(Operators.ADD, [self.graph.outputs[0], tensor], schema.AddOptionsT(), rank=2)
        self.graph.tensors[output].shape = [1, 10]
        self.graph.tensors[output].shapeSignature = [-1, 10]
        self.graph.operators += self._added
        self.graph.outputs = [output]
        for named in self.model.signatureDefs[0].outputs:
            named.tensorIndex = output
        return self.packed()

    def packed(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, shape: list[int], buffer: Any, kind: int = 0) -> int:
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = shape, kind, len(self.model.buffers) - 1
        tensor.name = b"added"
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

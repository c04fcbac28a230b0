"""A `.tflite` file looked at before the interpreter gets it: well-formed, of known operators, of bounded memory.

The interpreter makes a tensor as large as its operator says, or as the file claims: one changed number has it ask for
more memory than there is. Here a file is read without trust, its operators are held against a list, and the shape of
every tensor is worked out for the largest batch.
"""

import math

from digits_server.errors import ModelRejected
from digits_server.runtimes import flatbuffer
from digits_server.runtimes.flatbuffer import Malformed, Values
from digits_server.runtimes.tflite_schema import IDENTIFIER, OPERATORS, SCHEMA, TYPE_BYTES, Operator
from digits_server.runtimes.tflite_shapes import MAX_RANK, Call, Refused, Shape, integers

MAX_TENSORS = 4000
MAX_OPERATORS = 1000
MAX_TENSOR_BYTES = 512 * 1024 * 1024
"""Of all tensors of one batch together, each counted once."""

MAX_INTEGERS = 64
"""Elements of the longest constant that can say how an operator is applied: a shape, axes, paddings."""

_INT32 = 2


def check(model: bytes, largest: int) -> None:
    """Raises ModelRejected unless `model` may be interpreted, for batches of up to `largest` images."""
    try:
        root = flatbuffer.read(model, IDENTIFIER, SCHEMA, "Model")
        _Graph(root, largest).check()
    except Malformed as error:
        raise ModelRejected("load", f"model.tflite is not a LiteRT model: {error}") from error


class _Graph:
    """The one graph of a model, walked from its input to its outputs."""

    def __init__(self, root: Values, largest: int) -> None:
        graphs = root.get("subgraphs", [])
        if len(graphs) != 1:
            raise Malformed(f"it has {len(graphs)} graphs; expected one")
        self._graph: Values = graphs[0]
        self._buffers: list[Values] = root.get("buffers", [])
        self._operators = [self._allowed(code) for code in root.get("operator_codes", [])]
        self._tensors: list[Values] = self._graph.get("tensors", [])
        self._calls: list[Values] = self._graph.get("operators", [])
        self._largest = largest
        self._shapes: dict[int, Shape] = {}
        """Of the tensors known so far, for the largest batch."""
        self._values: dict[int, list[int | None]] = {}
        self._bytes = 0

    def check(self) -> None:
        if len(self._tensors) > MAX_TENSORS or len(self._calls) > MAX_OPERATORS:
            raise ModelRejected(
                "memory",
                f"model.tflite has {len(self._tensors)} tensors and {len(self._calls)} operators; "
                f"at most {MAX_TENSORS} and {MAX_OPERATORS}",
            )
        for number in range(len(self._tensors)):
            self._add_constant(number)
        inputs, outputs = self._places(self._graph, "inputs"), self._places(self._graph, "outputs")
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0] in self._shapes:
            raise Malformed("it must have one input and one output")
        self._add(inputs[0], (self._largest, 28, 28))
        for call in self._calls:
            self._apply(call)
        if len(self._shapes) < len(self._tensors):
            raise Malformed("it has a tensor that nothing computes")

    @staticmethod
    def _allowed(code: Values) -> Operator:
        number = max(code.get("code", 0), code.get("short_code", 0))
        if number not in OPERATORS:
            raise ModelRejected("operator", f"model.tflite has the operator {number}, which is not among those allowed")
        return OPERATORS[number]

    def _add_constant(self, number: int) -> None:
        """Takes note of a tensor whose elements are in the file."""
        tensor = self._tensors[number]
        buffer = tensor.get("buffer", 0)
        if buffer >= len(self._buffers):
            raise Malformed("it has a tensor without a buffer")
        data = self._buffers[buffer].get("data", b"")
        if len(data) == 0:
            return
        shape = integers(tensor.get("shape", b""))
        if any(size < 0 for size in shape) or math.prod(shape) * self._element_bytes(number) != len(data):
            raise Malformed("it has a constant of another size than its shape says")
        self._add(number, tuple(shape))
        if tensor.get("type", 0) == _INT32 and math.prod(shape) <= MAX_INTEGERS:
            self._values[number] = list(integers(data))

    def _apply(self, call: Values) -> None:
        """Works out the output of one operator."""
        code = call.get("code", 0)
        if code >= len(self._operators):
            raise Malformed("it has an operator without a code")
        operator = self._operators[code]
        inputs, outputs = self._places(call, "inputs", least=-1), self._places(call, "outputs")
        if call.get("options_type", 0) not in (0, operator.options):
            raise Malformed(f"{operator.name} has the options of another operator")
        if len(outputs) != 1 or outputs[0] in self._shapes or not inputs:
            raise Malformed(f"{operator.name} must have inputs and one output of its own")
        if any(place not in self._shapes and (at, place) != (operator.optional, -1) for at, place in enumerate(inputs)):
            raise Malformed(f"{operator.name} has an input that is not computed before it")
        applied = Call(
            [self._shapes.get(place, ()) for place in inputs],
            [self._values.get(place) for place in inputs],
            call.get("options", {}),
        )
        try:
            shape = operator.shape(applied)
        except (Refused, IndexError) as refusal:
            raise Malformed(f"{operator.name} {refusal}") from refusal
        self._add(outputs[0], shape)
        self._follow_values(operator, applied, outputs[0])

    def _follow_values(self, operator: Operator, applied: Call, output: int) -> None:
        """Knows the elements of shapes that are put together from constants and the number of images."""
        if operator.name == "STRIDED_SLICE":
            self._values[output] = [None]
        elif operator.name == "PACK" and all(values is not None for values in applied.values):
            self._values[output] = [value for values in applied.values for value in values or ()]

    def _add(self, number: int, shape: Shape) -> None:
        """Takes note of a tensor's shape, and of its memory: what it claims counts too, for XNNPACK believes it."""
        for field in ("shape", "shape_signature"):
            claimed = integers(self._tensors[number].get(field, b""))
            if any(side < -1 for side in claimed) or abs(math.prod(claimed)) > math.prod(shape):
                raise Malformed("it has a tensor that claims to be larger than it is")
        size = math.prod(shape) * self._element_bytes(number)
        self._bytes += size
        if len(shape) > MAX_RANK or self._bytes > MAX_TENSOR_BYTES:
            raise ModelRejected(
                "memory",
                f"model.tflite asks for more than {MAX_TENSOR_BYTES} bytes of tensors "
                f"in a batch of {self._largest} images",
            )
        self._shapes[number] = shape

    def _element_bytes(self, number: int) -> int:
        kind = self._tensors[number].get("type", 0)
        if kind not in TYPE_BYTES:
            raise Malformed(f"it has a tensor of the type {kind}, which is not among those allowed")
        return TYPE_BYTES[kind]

    def _places(self, table: Values, field: str, *, least: int = 0) -> list[int]:
        """Numbers of tensors, from `least` on; -1 stands for an input left out."""
        places = integers(table.get(field, b""))
        if any(not least <= place < len(self._tensors) for place in places):
            raise Malformed("it refers to a tensor that is not there")
        return places

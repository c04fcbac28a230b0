"""A `.tflite` file checked before the interpreter gets it: well-formed, of known operators, of bounded memory.

LiteRT trusts its files. It copies the bytes of one tensor into another that the file declares smaller, and makes a
tensor as large as an operator asks. So a file is read here without trust: every operator must have exactly the types
that our own converter gives it, and the shape of every tensor is computed for every batch size that will run.
"""

import math
from dataclasses import dataclass

from digits_server.errors import ModelRejected
from digits_server.runtimes import flatbuffer
from digits_server.runtimes.flatbuffer import Malformed, Values
from digits_server.runtimes.tflite_calls import Call, Refused, Shape, integers
from digits_server.runtimes.tflite_operators import OPERATORS, Operator
from digits_server.runtimes.tflite_schema import ELEMENT_BYTES, IDENTIFIER, LETTERS, METADATA, SCHEMA

MAX_TENSORS = 4000
MAX_OPERATORS = 1000
MAX_TENSOR_BYTES = 512 * 1024 * 1024
"""Most bytes of all tensors of one batch together, each tensor counted once."""

MAX_INTEGERS = 64
"""Elements of the longest list of integers. Such lists are parameters of operators: a shape, axes, paddings."""

MAX_RANK = 5
"""Axes of a tensor; group normalisation needs five."""


def check(model: bytes, largest: int, name: str = "model.tflite") -> None:
    """Raises ModelRejected unless it is safe to interpret `model` in batches of 1, 2, 4, … up to `largest` images.

    name  of the file, for the error's sentence
    """
    try:
        graph = _Graph(flatbuffer.read(model, IDENTIFIER, SCHEMA, "Model"), name)
        size = 1
        while size <= largest:
            graph.walk(size)
            size *= 2
    except Malformed as error:
        raise ModelRejected("load", f"{name} is not a LiteRT model: {error}") from error


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor, as the file describes it.

    letter     its type: f float32, i int32, u uint8, b bool
    shape      for a batch of one image; 1 for sides that the converter did not know
    signature  the same with -1 for those sides; empty if no side is open
    data       the elements of a constant, empty otherwise
    """

    letter: str
    shape: Shape
    signature: Shape
    data: memoryview

    @property
    def constant(self) -> bool:
        return len(self.data) > 0

    def is_claimed(self, shape: Shape) -> bool:
        """Whether `shape`, computed for a batch of one image, is the one in the file."""
        unknown = self.signature or self.shape
        return len(shape) == len(self.shape) == len(unknown) and all(
            (side == claimed and known in (side, -1)) or (claimed, known) == (1, -1)
            for side, claimed, known in zip(shape, self.shape, unknown, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator of the graph: numbers of its inputs (-1: left out) and of its output."""

    operator: Operator
    inputs: tuple[int, ...]
    output: int
    options: Values


class _Graph:
    """The one graph of a model, walked from its input to its output."""

    def __init__(self, root: Values, name: str) -> None:
        self._name = name
        graphs = root.get("subgraphs", [])
        if len(graphs) != 1:
            raise Malformed(f"it has {len(graphs)} graphs; expected one")
        graph: Values = graphs[0]
        tensors, calls = graph.get("tensors", []), graph.get("operators", [])
        if len(tensors) > MAX_TENSORS or len(calls) > MAX_OPERATORS:
            raise ModelRejected(
                "memory",
                f"{name} has {len(tensors)} tensors and {len(calls)} operators; "
                f"at most {MAX_TENSORS} and {MAX_OPERATORS}",
            )
        buffers = [buffer.get("data", memoryview(b"")) for buffer in root.get("buffers", [])]
        self._tensors = [_tensor(tensor, buffers) for tensor in tensors]
        self._input, self._output = self._ends(graph)
        operators = [_allowed(code, name) for code in root.get("operator_codes", [])]
        self._steps = [self._step(call, operators) for call in calls]
        _check_extras(root, len(buffers), len(tensors))

    def walk(self, batch: int) -> None:
        """Computes the shape of every tensor for `batch` images. Raises Malformed or ModelRejected."""
        shapes = {number: tensor.shape for number, tensor in enumerate(self._tensors) if tensor.constant}
        values = {number: integers(self._tensors[number].data) for number in shapes if self._letter(number) == "i"}
        if self._input in shapes:
            raise Malformed("its input is a constant")
        shapes[self._input] = (batch, 28, 28)
        for step in self._steps:
            if step.output in shapes or any(place not in shapes for place in step.inputs if place >= 0):
                raise Malformed(f"{step.operator.name} has an input that is not computed before it, or a used output")
            call = Call(
                [shapes.get(place, ()) for place in step.inputs],
                [values.get(place) for place in step.inputs],
                step.options,
            )
            try:
                shapes[step.output] = step.operator.shape(call)
                if self._letter(step.output) == "i":
                    values[step.output] = step.operator.values(call)
            except Refused as refusal:
                raise Malformed(f"{step.operator.name} {refusal}") from refusal
            if max(map(len, (shapes[step.output], *call.inputs))) > step.operator.rank:
                raise Malformed(f"{step.operator.name} has a tensor of more than {step.operator.rank} axes")
        self._check_shapes(shapes, batch)
        for step in self._steps:
            if all(self._tensors[place].constant for place in step.inputs if place >= 0):
                raise Malformed(
                    f"{step.operator.name} has only constants as inputs; our converter would have written the result"
                )

    def _check_shapes(self, shapes: dict[int, Shape], batch: int) -> None:
        if len(shapes) < len(self._tensors):
            raise Malformed("it has a tensor that nothing computes")
        if any(side < 1 for shape in shapes.values() for side in shape):
            raise Malformed("it has a tensor without elements")
        if (
            sum(math.prod(shape) * ELEMENT_BYTES[self._letter(number)] for number, shape in shapes.items())
            > MAX_TENSOR_BYTES
        ):
            raise ModelRejected(
                "memory",
                f"{self._name} asks for more than {MAX_TENSOR_BYTES} bytes of tensors in a batch of {batch} images",
            )
        if batch == 1 and not all(self._tensors[number].is_claimed(shape) for number, shape in shapes.items()):
            raise Malformed("it has a tensor whose computed shape is not the declared one")
        if shapes[self._output] != (batch, 10):
            raise Malformed("it does not give ten numbers for each image")

    def _ends(self, graph: Values) -> tuple[int, int]:
        inputs, outputs = self._places(graph, "inputs"), self._places(graph, "outputs")
        if len(inputs) != 1 or len(outputs) != 1 or (self._letter(inputs[0]), self._letter(outputs[0])) != ("u", "f"):
            raise Malformed("it must have one input of uint8 and one output of float32")
        return inputs[0], outputs[0]

    def _step(self, call: Values, operators: list[Operator]) -> _Step:
        code = call.get("code", 0)
        if code >= len(operators):
            raise Malformed("it has an operator without a code")
        operator = operators[code]
        inputs, outputs = self._places(call, "inputs", least=-1), self._places(call, "outputs")
        if call.get("options_type", 0) not in (0, operator.options):
            raise Malformed(f"{operator.name} has the options of another operator")
        found = "".join(map(self._written, inputs)) + ">" + "".join(map(self._written, outputs))
        if not operator.takes.fullmatch(found):
            raise Malformed(f"{operator.name} has inputs or outputs of types that are not allowed")
        return _Step(operator, tuple(inputs), outputs[0], call.get("options", {}))

    def _letter(self, number: int) -> str:
        return self._tensors[number].letter

    def _written(self, number: int) -> str:
        """The letter of a tensor in a signature: a capital letter for a constant, - for an input left out."""
        if number < 0:
            return "-"
        letter = self._letter(number)
        return letter.upper() if self._tensors[number].constant else letter

    def _places(self, table: Values, field: str, *, least: int = 0) -> list[int]:
        """Numbers of tensors, from `least` on; -1 stands for an input left out."""
        places = integers(table.get(field, b""))
        if any(not least <= place < len(self._tensors) for place in places):
            raise Malformed("it refers to a tensor that does not exist")
        return places


def _allowed(code: Values, name: str) -> Operator:
    number = max(code.get("code", 0), code.get("short_code", 0))
    if number not in OPERATORS:
        raise ModelRejected("operator", f"{name} has the operator {number}, which is not allowed")
    if "custom_code" in code:
        raise Malformed("it gives custom code to a built-in operator")
    return OPERATORS[number]


def _tensor(table: Values, buffers: list[memoryview]) -> _Tensor:
    kind, buffer = table.get("type", 0), table.get("buffer", 0)
    letter = LETTERS.get(kind)
    if letter is None:
        raise Malformed(f"it has a tensor of the type {kind}, which is not allowed")
    if buffer >= len(buffers):
        raise Malformed("it has a tensor without a buffer")
    shape, signature = (tuple(integers(table.get(field, b""))) for field in ("shape", "shape_signature"))
    tensor = _Tensor(letter, shape, signature, buffers[buffer])
    elements = math.prod(shape)
    if len(shape) > MAX_RANK or any(side < 1 for side in shape):
        raise Malformed(f"it has a tensor with a side below 1 or more than {MAX_RANK} axes")
    if tensor.constant and elements * ELEMENT_BYTES[letter] != len(tensor.data):
        raise Malformed("it has a constant whose size does not fit its shape")
    if letter == "i" and elements > MAX_INTEGERS:
        raise Malformed(f"it has a list of more than {MAX_INTEGERS} integers")
    return tensor


def _check_extras(root: Values, buffers: int, tensors: int) -> None:
    """Checks what the interpreter reads in addition to the graph: numbers must refer to things in the file."""
    for note in root.get("metadata", []):
        if note.get("name") not in METADATA or note.get("buffer", 0) >= buffers:
            raise Malformed("it has metadata that our converter does not write")
    for signature in root.get("signatures", []):
        named = [*signature.get("inputs", []), *signature.get("outputs", [])]
        if signature.get("subgraph", 0) or any(each.get("tensor", 0) >= tensors for each in named):
            raise Malformed("it has a signature of a tensor that does not exist")

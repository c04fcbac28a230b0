"""Random LiteRT graphs of the allowed operators; most of them are valid, some are not."""

import random
import struct
from functools import cache
from itertools import product
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from digits_server.runtimes.tflite_calls import Call, Refused
from digits_server.runtimes.tflite_operators import OPERATORS, Operator
from support.models.tflite import ADD_AFTER, Editor, Options

KINDS = {"f": 0, "i": 2, "u": 3, "b": 6}
ARRAYS = {"f": np.float32, "i": np.int32, "u": np.uint8, "b": np.bool_}
SIDES = (1, 1, 2, 3, 4, 5, 7, 10, 28)
ATTEMPTS, MOST_OPERATORS = 60, 8
ODD = (-(2**31), -77, -2, -1, 0, 1, 2, 3, 40, 1000, 2**31 - 1)
USUAL: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("strideW", "strideH", "filterWidth", "filterHeight", "depthMultiplier"), (1, 1, 2, 3)),
    **dict.fromkeys(("dilationWFactor", "dilationHFactor"), (1, 1, 1, 2)),
    **dict.fromkeys(("fusedActivationFunction", "axis", "beginMask", "endMask"), (0, 1, 2, 3)),
    **dict.fromkeys(("padding", "shrinkAxisMask"), (0, 1)),
    "keepDims": (False, True),
    "outType": (2,),
}
"""Values of an option in a valid graph."""

STRANGE_TYPES, STRANGE_RANKS, STRANGE_OPTIONS, STRANGE_SIDES = 0.02, 0.01, 0.02, 0.002
"""Shares of operators that get a value that the check must refuse, or an unexpected one."""


@cache
def signatures() -> dict[str, list[str]]:
    """By operator: letters of its inputs and, last, of its output, a capital for a constant; up to four inputs."""
    possible = ["".join(letters) for count in range(1, 5) for letters in product("fFiIub-", repeat=count)]
    return {
        operator.name: [
            letters + output
            for letters in possible
            for output in "fib"
            if operator.takes.fullmatch(f"{letters}>{output}")
        ]
        for operator in OPERATORS.values()
    }


class Graph:
    """A good model with random operators in it, decided by `chance` alone."""

    def __init__(self, model: bytes, chance: random.Random) -> None:
        self._editor = Editor(model)
        self._chance = chance
        self._known: dict[int, tuple[str, tuple[int, ...], list[int] | None]] = {
            int(self._editor.graph.inputs[0]): ("u", (1, 28, 28), None),
            int(self._editor.graph.operators[ADD_AFTER - 1].outputs[0]): ("f", (1, 28, 28), None),
        }
        """Tensors so far: letter of the type, shape for one image, elements of integers."""

    def grow(self) -> bytes:
        for _ in range(self._chance.randint(1, MOST_OPERATORS)):
            for _ in range(ATTEMPTS):
                if self._apply():
                    break
        floats = [number for number, (letter, _, _) in self._known.items() if letter == "f"]
        last = floats[-1]
        return self._editor.finished(self._editor.total(last, len(self._known[last][1])))

    def _apply(self) -> bool:
        number, operator = self._chance.choice(list(OPERATORS.items()))
        strange = self._chance.random() < STRANGE_TYPES
        letters = self._chance.choice(signatures()[operator.name])
        if strange:
            place = self._chance.randrange(len(letters))
            letters = letters[:place] + self._chance.choice("fFiIub") + letters[place + 1 :]
        options = self._options(operator, len(letters) - 1)
        try:
            inputs = [self._input(letter, operator) for letter in letters[:-1]]
        except Refused:
            return False
        letters = letters.lower()
        tensors = [self._known[place] if place >= 0 else ("-", (), None) for place in inputs]
        call = Call([each[1] for each in tensors], [each[2] for each in tensors], _read(options))
        values = None
        try:
            shape = operator.shape(call)
            if letters[-1] == "i":
                values = operator.values(call)
        except (Refused, ArithmeticError, LookupError, TypeError, ValueError):
            if self._chance.random() > STRANGE_RANKS:
                return False
            shape = tuple(self._side() for _ in range(self._chance.randint(0, 6)))
        if np.prod(shape, dtype=float) > 1e7:
            return False
        output = self._editor.apply(number, inputs, options, rank=len(shape), kind=KINDS[letters[-1]])
        self._known[output] = (letters[-1], shape, values)
        return True

    def _input(self, letter: str, operator: Operator) -> int:
        if letter == "-":
            return -1
        found = [number for number, known in self._known.items() if known[0] == letter.lower()]
        if letter.islower() and found and (letter in "ub" or self._chance.random() < 0.8):
            return self._chance.choice(found[-4:])
        if letter.lower() in "ub" and self._chance.random() > STRANGE_TYPES:
            raise Refused("has no such input")
        return self._constant(letter.lower(), operator)

    def _constant(self, letter: str, operator: Operator) -> int:
        rank = self._chance.randint(0, operator.rank + (self._chance.random() < STRANGE_RANKS))
        shapes = [shape for _, shape, _ in self._known.values()]
        shape = self._chance.choice(shapes) if self._chance.random() < 0.3 else tuple(self._side() for _ in range(rank))
        if letter == "i" and np.prod(shape, dtype=float) > 64:
            shape = shape[:1]
        if self._chance.random() < STRANGE_SIDES:
            shape = (*shape, 0)
        array: Any = np.zeros(shape, ARRAYS[letter])
        flat = array.reshape(-1)
        for place in range(min(len(flat), 64)):
            flat[place] = self._number() if letter == "i" else self._chance.choice((0, 1))
        number = self._editor.constant(array)
        self._known[number] = (letter, shape, flat.tolist() if letter == "i" else None)
        return number

    def _side(self) -> int:
        return self._chance.choice(SIDES)

    def _number(self) -> int:
        return self._chance.choice(ODD) if self._chance.random() < 0.1 else self._chance.choice((-1, 0, 1, 1, 2, 3, 28))

    def _options(self, operator: Operator, count: int) -> Any:
        if not operator.options:
            return None
        name = next(name for name, number in vars(Options).items() if number == operator.options)
        options = getattr(schema, f"{name}T")()
        for field, value in vars(options).items():
            if self._chance.random() < STRANGE_OPTIONS:
                if isinstance(value, int):
                    setattr(options, field, True if isinstance(value, bool) else self._chance.choice((-1, 1, 2, 77)))
            elif name != "PackOptions" and field in USUAL:
                setattr(options, field, self._chance.choice(USUAL[field]))
            elif field == "valuesCount":
                options.valuesCount = count
        return options


def _read(options: Any) -> dict[str, Any]:
    """The options by their names in the check."""
    names = {
        "fusedActivationFunction": "activation",
        "strideW": "stride_w",
        "strideH": "stride_h",
        "filterWidth": "filter_w",
        "filterHeight": "filter_h",
        "dilationWFactor": "dilation_w",
        "dilationHFactor": "dilation_h",
        "depthMultiplier": "depth_multiplier",
        "keepDims": "keep_dims",
        "shrinkAxisMask": "shrink_mask",
        "beginMask": "begin_mask",
        "endMask": "end_mask",
        "outType": "type",
        "valuesCount": "count",
    }
    return {names.get(field, field): value for field, value in vars(options).items()} if options else {}


def mutant(model: bytes, chance: random.Random) -> bytes:
    """`model` with a few bytes of its structure changed."""
    changed = bytearray(model)
    structure = [*range(500), *range(max(500, len(model) - 7999), len(model) - 8)]
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.choice(structure) & ~3
        match chance.randrange(3):
            case 0:
                changed[place + chance.randrange(4)] ^= 1 << chance.randrange(8)
            case 1:
                changed[place + chance.randrange(4)] = chance.randrange(256)
            case 2:
                value = chance.choice((0, 1, 2, 40, 2**31 - 1, 2**31, 2**32 - 1, chance.randrange(2**32)))
                changed[place : place + 4] = struct.pack("<I", value)
    return bytes(changed)


def random_model(model: bytes, seed: int) -> bytes:
    """The model of `seed`: a random graph, and in one of five cases a mutant of it."""
    chance = random.Random(seed)
    grown = Graph(model, chance).grow()
    return mutant(grown, chance) if chance.random() < 0.2 else grown

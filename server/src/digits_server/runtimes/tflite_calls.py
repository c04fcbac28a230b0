"""One operator of a model and its inputs, as the check of model files reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]

MAX_WINDOW = 64
"""Largest stride, dilation and side of a window; an image has 28 pixels a side."""

ACTIVATIONS = (0, 1, 2, 3)
"""Activations that may be part of another operator: no activation, RELU, RELU_N1_TO_1, RELU6."""


class Refused(Exception):
    """The operator cannot be applied to these shapes. The message is a sentence without its subject, the operator."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operator and its inputs.

    inputs   shapes; an input left out is missing at the end or ()
    values   elements of the inputs of integers, None for others
    options  by name, as `tflite_schema` has them
    """

    inputs: Sequence[Shape]
    values: Sequence[list[int] | None]
    options: Mapping[str, Any]

    def numbers(self, place: int, shape: Shape) -> list[int]:
        """The elements of an input of integers, which must have this shape."""
        found = self.values[place]
        if found is None or self.inputs[place] != shape:
            raise Refused(f"needs {list(shape)} integers, not {list(self.inputs[place])}")
        return found

    def option(self, name: str, default: int = 0) -> int:
        """A stride, dilation or side of a window; `default` is the format's value for a missing one."""
        value = int(self.options.get(name, default))
        if not 1 <= value <= MAX_WINDOW:
            raise Refused(f"has {value} as its {name}; expected 1 to {MAX_WINDOW}")
        return value

    def check_activation(self) -> None:
        if self.options.get("activation", 0) not in ACTIVATIONS:
            raise Refused("has an activation that is not allowed")


def integers(data: Any) -> list[int]:
    """The numbers of a vector of int32."""
    numbers: list[int] = np.frombuffer(data, "<i4").tolist() if len(data) else []
    return numbers

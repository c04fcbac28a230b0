"""The shape each operator gives its output, so that a model's memory is known before anything of it runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]

MAX_RANK = 6
MAX_WINDOW = 1024
"""Largest stride, dilation and side of a window."""

SAME_PADDING = 0


class Refused(Exception):
    """The operator cannot be applied to these shapes, or its output cannot be told; one sentence."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operator with what it is applied to.

    inputs   shapes; an input left out is missing at the end or ()
    values   elements of those inputs that are constants of integers or made of shapes, where None stands for an
             unknown one
    options  by name, as `tflite_schema` has them
    """

    inputs: Sequence[Shape]
    values: Sequence[Sequence[int | None] | None]
    options: Mapping[str, Any]

    def constant(self, place: int) -> list[int]:
        """The elements of an input that must be known."""
        known = [value for value in self.values[place] or () if value is not None] if place < len(self.values) else []
        if place >= len(self.values) or len(known) != math.prod(self.inputs[place]):
            raise Refused("needs a constant where it has none")
        return known

    def option(self, name: str, default: int = 0) -> int:
        """A stride, dilation or side of a window, or what the format takes for one that is not there."""
        value = int(self.options.get(name, default))
        if not 1 <= value <= MAX_WINDOW:
            raise Refused(f"has {value} as its {name}; expected 1 to {MAX_WINDOW}")
        return value


def same(call: Call) -> Shape:
    return call.inputs[0]


def broadcast(call: Call) -> Shape:
    try:
        return np.broadcast_shapes(*call.inputs)
    except ValueError as error:
        raise Refused("has inputs of shapes that do not go together") from error


def convolve(call: Call) -> Shape:
    images, filters = _of_rank(call, 0, 4), _of_rank(call, 1, 4)
    if filters[3] == 0 or images[3] % filters[3]:
        raise Refused("has filters for other channels")
    return (*_windows(call, images, filters[1], filters[2], dilated=True), filters[0])


def convolve_depthwise(call: Call) -> Shape:
    images, filters = _of_rank(call, 0, 4), _of_rank(call, 1, 4)
    if filters[3] != images[3] * call.option("depth_multiplier"):
        raise Refused("has filters for other channels")
    return (*_windows(call, images, filters[1], filters[2], dilated=True), filters[3])


def pool(call: Call) -> Shape:
    images = _of_rank(call, 0, 4)
    return (*_windows(call, images, call.option("filter_h"), call.option("filter_w"), dilated=False), images[3])


def fully_connect(call: Call) -> Shape:
    given, (units, features) = call.inputs[0], _of_rank(call, 1, 2)
    if not features or math.prod(given) % features:
        raise Refused("has weights for another number of features")
    if not call.options.get("keep_num_dims"):
        return math.prod(given) // features, units
    if given[-1:] != (features,):
        raise Refused("has weights for another number of features")
    return (*given[:-1], units)


def reshape(call: Call) -> Shape:
    wanted = call.values[1] if len(call.values) > 1 else integers(call.options.get("new_shape", b""))
    if wanted is None:
        raise Refused("takes a shape that cannot be told")
    elements = math.prod(call.inputs[0])
    known = [size for size in wanted if size is not None and size != -1]
    rest = math.prod(known)
    fits = len(known) == len(wanted) - 1 or (len(known) == len(wanted) and rest == elements)
    if not fits or any(size < 1 for size in known) or elements % rest:
        raise Refused("takes a shape that does not fit")
    return tuple(elements // rest if size is None or size == -1 else size for size in wanted)


def transpose(call: Call) -> Shape:
    order = call.constant(1)
    if sorted(order) != list(range(len(call.inputs[0]))):
        raise Refused("has an order of axes that is none")
    return tuple(call.inputs[0][axis] for axis in order)


def reduce(call: Call) -> Shape:
    axes = _axes(call.constant(1), len(call.inputs[0]))
    if call.options.get("keep_dims"):
        return tuple(1 if axis in axes else size for axis, size in enumerate(call.inputs[0]))
    return tuple(size for axis, size in enumerate(call.inputs[0]) if axis not in axes)


def pad(call: Call) -> Shape:
    sides = call.constant(1)
    if len(sides) != 2 * len(call.inputs[0]) or any(side < 0 for side in sides):
        raise Refused("has paddings that are none")
    return tuple(size + sides[2 * axis] + sides[2 * axis + 1] for axis, size in enumerate(call.inputs[0]))


def concatenate(call: Call) -> Shape:
    first = call.inputs[0]
    (axis,) = _axes([int(call.options.get("axis", 0))], len(first))
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in call.inputs if len(shape) == len(first)}
    if len(rest) != 1 or any(len(shape) != len(first) for shape in call.inputs):
        raise Refused("has inputs of shapes that do not go together")
    return (*first[:axis], sum(shape[axis] for shape in call.inputs), *first[axis + 1 :])


def expand_dims(call: Call) -> Shape:
    rank = len(call.inputs[0]) + 1
    (axis,) = _axes(call.constant(1), rank)
    return (*call.inputs[0][:axis], 1, *call.inputs[0][axis:])


def shape_of(call: Call) -> Shape:
    return (len(call.inputs[0]),)


def pick_one(call: Call) -> Shape:
    """One element of a short list, as the number of images is taken from a shape; no other slice."""
    others = [name for name in ("ellipsis", "new_axis") if call.options.get(name)]
    if len(call.inputs[0]) != 1 or call.options.get("shrink_axis") != 1 or others:
        raise Refused("takes more than one element of a list")
    return ()


def pack_scalars(call: Call) -> Shape:
    if any(call.inputs) or call.options.get("axis"):
        raise Refused("packs more than single numbers")
    return (len(call.inputs),)


def _of_rank(call: Call, place: int, rank: int) -> Shape:
    if place >= len(call.inputs) or len(call.inputs[place]) != rank:
        raise Refused(f"needs {rank} axes where it has another number")
    return call.inputs[place]


def _windows(call: Call, images: Shape, height: int, width: int, *, dilated: bool) -> Shape:
    """Number, height and width of what windows of this size make of `images`."""
    sides = []
    for size, window, axis in ((images[1], height, "h"), (images[2], width, "w")):
        reach = (window - 1) * (call.option(f"dilation_{axis}", 1) if dilated else 1) + 1
        room = size if call.options.get("padding", SAME_PADDING) == SAME_PADDING else size - reach + 1
        if not 1 <= window <= MAX_WINDOW or room < 1:
            raise Refused("has windows that do not fit")
        sides.append(-(-room // call.option(f"stride_{axis}")))
    return images[0], *sides


def _axes(axes: Sequence[int], rank: int) -> set[int]:
    if not axes or not all(-rank <= axis < rank for axis in axes):
        raise Refused("has an axis that is none")
    return {axis % rank for axis in axes}


def integers(data: Any) -> list[int]:
    """The numbers of a vector of int32."""
    numbers: list[int] = np.frombuffer(data, "<i4").tolist() if len(data) else []
    return numbers

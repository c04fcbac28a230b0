"""The output shape of each operator, so that a model's memory is known before it runs."""

import math
from collections.abc import Sequence

import numpy as np

from digits_server.runtimes.tflite_calls import MAX_WINDOW, Call, Refused, Shape

SAME_PADDING, VALID_PADDING = 0, 1

INT32 = 2


def same(call: Call) -> Shape:
    return _of_rank(call, 0, range(1, 6))


def broadcast(call: Call) -> Shape:
    try:
        return np.broadcast_shapes(*call.inputs)
    except ValueError as error:
        raise Refused("has inputs of shapes that do not fit together") from error


def arithmetic(call: Call) -> Shape:
    call.check_activation()
    return broadcast(call)


def scale_below_zero(call: Call) -> Shape:
    if broadcast(call) != call.inputs[0]:
        raise Refused("has slopes whose shape does not fit its input")
    return call.inputs[0]


def convolve(call: Call) -> Shape:
    images, filters = _of_rank(call, 0, [4]), _of_rank(call, 1, [4])
    if images[3] % filters[3] or filters[0] % (images[3] // filters[3]):
        raise Refused("has filters for other channels")
    _check_bias(call, filters[0])
    return (*_windows(call, images, filters[1], filters[2], dilated=True), filters[0])


def convolve_depthwise(call: Call) -> Shape:
    images, filters = _of_rank(call, 0, [4]), _of_rank(call, 1, [4])
    if filters[0] != 1 or filters[3] != images[3] * call.option("depth_multiplier"):
        raise Refused("has filters for other channels")
    _check_bias(call, filters[3])
    return (*_windows(call, images, filters[1], filters[2], dilated=True), filters[3])


def pool(call: Call) -> Shape:
    images = _of_rank(call, 0, [4])
    return (*_windows(call, images, call.option("filter_h"), call.option("filter_w"), dilated=False), images[3])


def fully_connect(call: Call) -> Shape:
    call.check_activation()
    (rows, given), (units, features) = _of_rank(call, 0, [2]), _of_rank(call, 1, [2])
    _check_bias(call, units)
    if given != features:
        raise Refused("has weights for another number of features")
    return rows, units


def reshape(call: Call) -> Shape:
    wanted = call.numbers(1, (len(call.values[1] or ()),))
    elements, known = math.prod(call.inputs[0]), [size for size in wanted if size != -1]
    rest = math.prod(known)
    if len(known) < len(wanted) - 1 or any(size < 1 for size in known) or elements % rest:
        raise Refused("takes a shape that does not fit")
    shape = tuple(elements // rest if size == -1 else size for size in wanted)
    if math.prod(shape) != elements:
        raise Refused("takes a shape that does not fit")
    return shape


def transpose(call: Call) -> Shape:
    rank = len(call.inputs[0])
    order = call.numbers(1, (rank,))
    if sorted(order) != list(range(rank)):
        raise Refused("has an invalid order of axes")
    return tuple(call.inputs[0][axis] for axis in order)


def reduce(call: Call) -> Shape:
    given = call.inputs[0]
    axes = _axes(call.numbers(1, (len(call.values[1] or ()),)), len(given))
    if call.options.get("keep_dims"):
        return tuple(1 if axis in axes else size for axis, size in enumerate(given))
    return tuple(size for axis, size in enumerate(given) if axis not in axes)


def pad(call: Call) -> Shape:
    given = call.inputs[0]
    sides = _sides(call, 1, len(given))
    return tuple(size + before + after for size, (before, after) in zip(given, sides, strict=True))


def space_to_batch(call: Call) -> Shape:
    """Cuts images into interleaved ones: a plain convolution of these is a dilated convolution of the images."""
    images, (rows, columns) = _of_rank(call, 0, [4]), _blocks(call)
    sides = _sides(call, 2, 2)
    height, width = (size + sum(side) for size, side in zip(images[1:3], sides, strict=True))
    if height % rows or width % columns:
        raise Refused("has paddings that do not fit its blocks")
    return images[0] * rows * columns, height // rows, width // columns, images[3]


def batch_to_space(call: Call) -> Shape:
    """The reverse of `space_to_batch`."""
    images, (rows, columns) = _of_rank(call, 0, [4]), _blocks(call)
    sides = _sides(call, 2, 2)
    height, width = images[1] * rows - sum(sides[0]), images[2] * columns - sum(sides[1])
    if images[0] % (rows * columns) or min(height, width) < 1:
        raise Refused("has crops that do not fit its blocks")
    return images[0] // (rows * columns), height, width, images[3]


def concatenate(call: Call) -> Shape:
    call.check_activation()
    first = call.inputs[0]
    (axis,) = _axes([int(call.options.get("axis", 0))], len(first))
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in call.inputs if len(shape) == len(first)}
    if len(rest) != 1 or any(len(shape) != len(first) for shape in call.inputs):
        raise Refused("has inputs of shapes that do not fit together")
    return (*first[:axis], sum(shape[axis] for shape in call.inputs), *first[axis + 1 :])


def gather(call: Call) -> Shape:
    """Some elements of a list of integers."""
    return call.inputs[1]


def expand_dims(call: Call) -> Shape:
    rank = len(call.inputs[0]) + 1
    (axis,) = _axes(call.numbers(1, ()), rank)
    return (*call.inputs[0][:axis], 1, *call.inputs[0][axis:])


def crop(call: Call) -> Shape:
    """A part of a tensor without gaps; of a list of integers, one element."""
    given = call.inputs[0]
    begins, ends, strides = (call.numbers(place, (len(given),)) for place in (1, 2, 3))
    if call.values[0] is not None:
        return ()
    if set(strides) != {1} or call.options.get("shrink_mask"):
        raise Refused("takes a part with gaps")
    shape = []
    for axis, size in enumerate(given):
        begin = 0 if call.options.get("begin_mask", 0) >> axis & 1 else begins[axis]
        end = size if call.options.get("end_mask", 0) >> axis & 1 else ends[axis]
        if not (-size <= begin <= size and -size <= end <= size):
            raise Refused("takes a part beyond an end")
        shape.append(len(range(size)[begin:end]))
    return tuple(shape)


def shape_of(call: Call) -> Shape:
    if call.options.get("type") != INT32:
        raise Refused("gives numbers of a type other than int32")
    return (len(call.inputs[0]),)


def pack(call: Call) -> Shape:
    if any(call.inputs) or call.options.get("count") != len(call.inputs):
        raise Refused("packs inputs that are not single numbers")
    return (len(call.inputs),)


def _of_rank(call: Call, place: int, ranks: Sequence[int]) -> Shape:
    if len(call.inputs[place]) not in ranks:
        raise Refused(f"has an input of {len(call.inputs[place])} axes")
    return call.inputs[place]


def _check_bias(call: Call, channels: int) -> None:
    if len(call.inputs) > 2 and call.inputs[2] not in ((), (channels,)):
        raise Refused("has a bias for other channels")


def _windows(call: Call, images: Shape, height: int, width: int, *, dilated: bool) -> Shape:
    """Number, height and width of the output when windows of this size move over `images`."""
    call.check_activation()
    padding = call.options.get("padding", SAME_PADDING)
    if padding not in (SAME_PADDING, VALID_PADDING):
        raise Refused("has an unknown padding")
    made = []
    for size, window, axis in ((images[1], height, "h"), (images[2], width, "w")):
        reach = (window - 1) * (call.option(f"dilation_{axis}", 1) if dilated else 1) + 1
        room = size if padding == SAME_PADDING else size - reach + 1
        if not 1 <= window <= MAX_WINDOW or room < 1:
            raise Refused("has windows that do not fit")
        made.append(-(-room // call.option(f"stride_{axis}")))
    return images[0], *made


def _axes(axes: Sequence[int], rank: int) -> set[int]:
    found = {axis % rank for axis in axes if -rank <= axis < rank}
    if not axes or len(found) < len(axes):
        raise Refused("has an invalid axis")
    return found


def _sides(call: Call, place: int, axes: int) -> list[tuple[int, int]]:
    """How many elements are added or cut off before and after each of so many axes."""
    found = call.numbers(place, (axes, 2))
    if min(found, default=0) < 0:
        raise Refused("has negative paddings or crops")
    return list(zip(found[::2], found[1::2], strict=True))


def _blocks(call: Call) -> list[int]:
    found = call.numbers(1, (2,))
    if not all(1 <= side <= MAX_WINDOW for side in found):
        raise Refused("has invalid blocks")
    return found

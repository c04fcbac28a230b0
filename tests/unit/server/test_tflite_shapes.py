"""The shape that each operator of a model gives, by hand, and what it refuses at the exact bounds."""

from typing import Any

import pytest

from digits_server.runtimes import tflite_integers as integers
from digits_server.runtimes import tflite_shapes as shapes
from digits_server.runtimes.tflite_calls import MAX_WINDOW, Call, Refused, Shape
from digits_server.runtimes.tflite_integers import MAX_PRODUCT

Values = list[int] | None


def call(*inputs: Shape, values: tuple[Values, ...] = (), **options: Any) -> Call:
    return Call(inputs, [*values, *[None] * (len(inputs) - len(values))], options)


def with_numbers(given: Shape, *numbers: tuple[Shape, list[int]], **options: Any) -> Call:
    """A tensor of floats, and parameters as lists of integers, each with its shape."""
    return call(given, *(shape for shape, _ in numbers), values=(None, *(found for _, found in numbers)), **options)


def flat(*numbers: int) -> tuple[Shape, list[int]]:
    return (len(numbers),), list(numbers)


IMAGES = (2, 28, 20, 6)
STRIDES: dict[str, Any] = {"stride_h": 1, "stride_w": 1}
BLOCKS = (flat(2, 4), ((2, 2), [1, 1, 2, 2]))


@pytest.mark.parametrize(
    ("function", "given", "shape"),
    [
        (shapes.same, call((1, 2, 3, 4, 5)), (1, 2, 3, 4, 5)),
        (shapes.broadcast, call((2, 1, 3), (4, 1)), (2, 4, 3)),
        (shapes.arithmetic, call((2, 3), (3,), activation=3), (2, 3)),
        (shapes.scale_below_zero, call((2, 28, 20, 6), (1, 1, 6)), IMAGES),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), (8,), **STRIDES), (2, 28, 20, 8)),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), (), padding=1, stride_h=2, stride_w=3), (2, 13, 6, 8)),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 3), padding=1, dilation_h=2, dilation_w=3, **STRIDES), (2, 24, 8, 8)),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), stride_h=3, stride_w=7), (2, 10, 3, 8)),
        (shapes.convolve, call(IMAGES, (8, 28, 20, 6), padding=1, **STRIDES), (2, 1, 1, 8)),
        (shapes.convolve_depthwise, call(IMAGES, (1, 3, 5, 12), (12,), depth_multiplier=2, **STRIDES), (2, 28, 20, 12)),
        (
            shapes.convolve_depthwise,
            call(IMAGES, (1, 3, 5, 6), depth_multiplier=1, padding=1, dilation_h=2, dilation_w=2, **STRIDES),
            (2, 24, 12, 6),
        ),
        (shapes.crop, with_numbers((9, 8), flat(2, 5), flat(5, 6), flat(1, 1), begin_mask=2), (3, 6)),
        (shapes.pool, call(IMAGES, filter_h=2, filter_w=3, stride_h=2, stride_w=3, padding=1), (2, 14, 6, 6)),
        (shapes.fully_connect, call((2, 30), (5, 30), (5,)), (2, 5)),
        (shapes.reshape, with_numbers((2, 28, 28), flat(-1, 14, 56)), (2, 14, 56)),
        (shapes.reshape, with_numbers((2, 3), flat(6)), (6,)),
        (shapes.transpose, with_numbers((2, 3, 4), flat(2, 0, 1)), (4, 2, 3)),
        (shapes.reduce, with_numbers((2, 3, 4), flat(1, -1)), (2,)),
        (shapes.reduce, with_numbers((2, 3, 4), flat(1, -1), keep_dims=True), (2, 1, 1)),
        (shapes.reduce, with_numbers((2, 3, 4), flat(-3)), (3, 4)),
        (shapes.pad, with_numbers((2, 3), ((2, 2), [0, 1, 2, 0])), (3, 5)),
        (shapes.space_to_batch, with_numbers((3, 4, 8, 5), *BLOCKS), (24, 3, 3, 5)),
        (shapes.batch_to_space, with_numbers((24, 3, 3, 5), *BLOCKS), (3, 4, 8, 5)),
        (shapes.concatenate, call((2, 3, 4), (2, 5, 4), axis=1), (2, 8, 4)),
        (shapes.concatenate, call((2, 3, 4), (2, 3, 1), axis=-1), (2, 3, 5)),
        (shapes.concatenate, call((2, 3), (1, 3)), (3, 3)),
        (shapes.gather, call((4,), (2,)), (2,)),
        (shapes.expand_dims, with_numbers((2, 3), ((), [1])), (2, 1, 3)),
        (shapes.expand_dims, with_numbers((2, 3), ((), [-1])), (2, 3, 1)),
        (shapes.crop, with_numbers((9, 8, 7), flat(2, 5, 5), flat(-2, 6, 5), flat(1, 1, 1)), (5, 1, 0)),
        (
            shapes.crop,
            with_numbers((9, 8, 7), flat(2, 5, 3), flat(5, 6, 4), flat(1, 1, 1), begin_mask=1, end_mask=6),
            (5, 3, 4),
        ),
        (shapes.crop, with_numbers((9,), flat(-9), flat(9), flat(1)), (9,)),
        (shapes.crop, call((3,), (1,), (1,), (1,), values=([7, 8, 9], [0], [1], [1])), ()),
        (shapes.shape_of, call((2, 3, 4), type=2), (3,)),
        (shapes.pack, call((), (), (), count=3), (3,)),
    ],
)
def test_the_shape_of_an_operator(function: Any, given: Call, shape: Shape) -> None:
    assert function(given) == shape


@pytest.mark.parametrize(
    ("function", "given", "sentence"),
    [
        (shapes.same, call(()), "has an input of 0 axes"),
        (shapes.same, call((1,) * 6), "has an input of 6 axes"),
        (shapes.broadcast, call((2,), (3,)), "has inputs of shapes that do not fit together"),
        (shapes.arithmetic, call((2,), (2,), activation=4), "has an activation that is not allowed"),
        (shapes.scale_below_zero, call((1, 3), (2, 3)), "has slopes whose shape does not fit its input"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 4), **STRIDES), "has filters for other channels"),
        (shapes.convolve, call(IMAGES, (7, 3, 5, 3), **STRIDES), "has filters for other channels"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), (6,), **STRIDES), "has a bias for other channels"),
        (shapes.convolve, call((28, 20, 6), (8, 3, 5, 6), **STRIDES), "has an input of 3 axes"),
        (shapes.convolve, call(IMAGES, (3, 5, 6), **STRIDES), "has an input of 3 axes"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), padding=2, **STRIDES), "has an unknown padding"),
        (shapes.convolve, call(IMAGES, (8, 29, 5, 6), padding=1, **STRIDES), "has windows that do not fit"),
        (shapes.convolve, call(IMAGES, (8, 3, 21, 6), padding=1, **STRIDES), "has windows that do not fit"),
        (shapes.convolve, call(IMAGES, (8, MAX_WINDOW + 1, 1, 6), **STRIDES), "has windows that do not fit"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), stride_h=1), "has 0 as its stride_w; expected 1 to 64"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), dilation_h=65, **STRIDES), "has 65 as its dilation_h; expected"),
        (shapes.convolve, call(IMAGES, (8, 3, 5, 6), activation=9, **STRIDES), "has an activation that is not allowed"),
        (
            shapes.convolve_depthwise,
            call(IMAGES, (2, 3, 5, 6), depth_multiplier=1, **STRIDES),
            "has filters for other channels",
        ),
        (
            shapes.convolve_depthwise,
            call(IMAGES, (1, 3, 5, 6), depth_multiplier=2, **STRIDES),
            "has filters for other channels",
        ),
        (
            shapes.convolve_depthwise,
            call(IMAGES, (1, 3, 5, 6), (5,), depth_multiplier=1, **STRIDES),
            "has a bias for other channels",
        ),
        (shapes.pool, call(IMAGES, filter_h=0, filter_w=1, **STRIDES), "has 0 as its filter_h"),
        (shapes.pool, call(IMAGES[1:], filter_h=1, filter_w=1, **STRIDES), "has an input of 3 axes"),
        (shapes.fully_connect, call((2, 30), (5, 29)), "has weights for another number of features"),
        (shapes.fully_connect, call((2, 30), (5, 30), (6,)), "has a bias for other channels"),
        (shapes.fully_connect, call((2, 30), (5, 30), activation=4), "has an activation that is not allowed"),
        (shapes.fully_connect, call((2, 3, 10), (5, 30)), "has an input of 3 axes"),
        (shapes.reshape, with_numbers((2, 6), flat(-1, -1)), "takes a shape that does not fit"),
        (shapes.reshape, with_numbers((2, 6), flat(0, -1)), "takes a shape that does not fit"),
        (shapes.reshape, with_numbers((2, 6), flat(5, -1)), "takes a shape that does not fit"),
        (shapes.reshape, with_numbers((2, 6), flat(2, 3)), "takes a shape that does not fit"),
        (shapes.transpose, with_numbers((2, 3), flat(0, 0)), "has an invalid order of axes"),
        (shapes.transpose, with_numbers((2, 3), flat(0, 1, 2)), r"needs \[2\] integers, not \[3\]"),
        (shapes.transpose, call((2, 3), (2,)), r"needs \[2\] integers, not \[2\]"),
        (shapes.reduce, with_numbers((2, 3), flat(2)), "has an invalid axis"),
        (shapes.reduce, with_numbers((2, 3), flat(-3)), "has an invalid axis"),
        (shapes.reduce, with_numbers((2, 3), flat(1, -1)), "has an invalid axis"),
        (shapes.reduce, with_numbers((2, 3), flat()), "has an invalid axis"),
        (shapes.pad, with_numbers((2, 3), ((2, 2), [0, 1, 2, -1])), "has negative paddings or crops"),
        (shapes.space_to_batch, with_numbers((3, 5, 8, 5), *BLOCKS), "has paddings that do not fit its blocks"),
        (shapes.space_to_batch, with_numbers((3, 4, 9, 5), *BLOCKS), "has paddings that do not fit its blocks"),
        (shapes.space_to_batch, with_numbers((3, 4, 8, 5), flat(0, 4), BLOCKS[1]), "has invalid blocks"),
        (shapes.space_to_batch, with_numbers((3, 4, 8, 5), flat(2, 65), BLOCKS[1]), "has invalid blocks"),
        (shapes.batch_to_space, with_numbers((25, 3, 3, 5), *BLOCKS), "has crops that do not fit its blocks"),
        (shapes.batch_to_space, with_numbers((24, 1, 3, 5), *BLOCKS), "has crops that do not fit its blocks"),
        (shapes.batch_to_space, with_numbers((24, 3, 1, 5), *BLOCKS), "has crops that do not fit its blocks"),
        (shapes.concatenate, call((2, 3), (3, 3), axis=1), "has inputs of shapes that do not fit together"),
        (shapes.concatenate, call((2, 3), (2, 3, 1), axis=1), "has inputs of shapes that do not fit together"),
        (shapes.concatenate, call((2, 3), (2, 3), axis=2), "has an invalid axis"),
        (shapes.concatenate, call((2, 3), (2, 3), activation=4), "has an activation that is not allowed"),
        (shapes.expand_dims, with_numbers((2, 3), ((), [3])), "has an invalid axis"),
        (shapes.crop, with_numbers((9,), flat(0), flat(10), flat(1)), "takes a part beyond an end"),
        (shapes.crop, with_numbers((9,), flat(-10), flat(9), flat(1)), "takes a part beyond an end"),
        (shapes.crop, with_numbers((9,), flat(0), flat(9), flat(2)), "takes a part with gaps"),
        (shapes.crop, with_numbers((9,), flat(0), flat(9), flat(1), shrink_mask=1), "takes a part with gaps"),
        (shapes.shape_of, call((2,), type=4), "gives numbers of a type other than int32"),
        (shapes.pack, call((1,), count=1), "packs inputs that are not single numbers"),
        (shapes.pack, call((), (), count=1), "packs inputs that are not single numbers"),
    ],
)
def test_an_operator_refuses_invalid_input(function: Any, given: Call, sentence: str) -> None:
    with pytest.raises(Refused, match=f"^{sentence}"):
        function(given)


def lists(*values: list[int], **options: Any) -> Call:
    return call(*((len(each),) for each in values), values=values, **options)


PICK: dict[str, Any] = {"begin_mask": 0, "end_mask": 0, "shrink_mask": 1}


@pytest.mark.parametrize(
    ("function", "given", "values"),
    [
        (integers.sides, call((2, 3, 4)), [2, 3, 4]),
        (integers.picked, lists([7, 8, 9], [0], [1], [1], **PICK), [7]),
        (integers.picked, lists([7, 8, 9], [2], [3], [1], **PICK), [9]),
        (integers.joined, lists([1, 2], [3]), [1, 2, 3]),
        (integers.packed, call((), (), values=([4], [5])), [4, 5]),
        (integers.gathered, lists([7, 8, 9], [2, 0]), [9, 7]),
        (integers.multiplied, lists([2, 3, 4], []), [24]),
        (integers.multiplied, lists([MAX_PRODUCT], []), [MAX_PRODUCT]),
    ],
)
def test_the_integers_of_an_operator(function: Any, given: Call, values: list[int]) -> None:
    assert function(given) == values


@pytest.mark.parametrize(
    ("function", "given", "sentence"),
    [
        (integers.picked, lists([7, 8, 9], [3], [4], [1], **PICK), "takes more than one element of a list"),
        (integers.picked, lists([7, 8, 9], [-1], [0], [1], **PICK), "takes more than one element of a list"),
        (integers.picked, lists([7, 8, 9], [0], [2], [1], **PICK), "takes more than one element of a list"),
        (integers.picked, lists([7, 8, 9], [0], [1], [2], **PICK), "takes more than one element of a list"),
        (integers.picked, lists([7, 8, 9], [0], [1], [1]), "takes more than one element of a list"),
        (integers.picked, lists([7, 8], [0], [1], [1], shrink_mask=1, end_mask=1), "takes more than one element"),
        (integers.picked, lists([7, 8], [0], [1], [1], shrink_mask=1, begin_mask=1), "takes more than one element"),
        (integers.joined, call((), (1,), values=([1], [2])), "joins inputs that are not lists of integers"),
        (integers.gathered, lists([7, 8], [2]), "takes an element beyond the end of a list"),
        (integers.gathered, lists([7, 8], [-1]), "takes an element beyond the end of a list"),
        (integers.multiplied, lists([MAX_PRODUCT, 2], []), "multiplies to a number that is too large"),
        (integers.multiplied, lists([2], [], keep_dims=True), "multiplies to a number that is too large"),
        (integers.no_values, call(()), "gives integers"),
    ],
)
def test_the_integers_that_an_operator_refuses(function: Any, given: Call, sentence: str) -> None:
    with pytest.raises(Refused, match=f"^{sentence}"):
        function(given)

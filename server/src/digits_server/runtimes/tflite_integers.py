"""Operators on lists of integers. A model computes shapes from the number of images, so the check does the same.

Each function returns the result of one operator, and raises Refused for input that our converter never writes.
"""

import math

from digits_server.runtimes.tflite_calls import Call, Refused

MAX_PRODUCT = 2**31 - 1
"""Largest product of integers: int32 holds no more."""


def sides(call: Call) -> list[int]:
    return list(call.inputs[0])


def picked(call: Call) -> list[int]:
    """One element of a list, as the number of images is taken from a shape."""
    given = call.values[0] or []
    begin, end, stride = (call.numbers(place, (1,))[0] for place in (1, 2, 3))
    options = [call.options.get(name, 0) for name in ("begin_mask", "end_mask", "shrink_mask")]
    if (end - begin, stride) != (1, 1) or options != [0, 0, 1] or not 0 <= begin < len(given):
        raise Refused("takes more than one element of a list")
    return [given[begin]]


def packed(call: Call) -> list[int]:
    return [value for values in call.values for value in values or ()]


def joined(call: Call) -> list[int]:
    if any(len(shape) != 1 for shape in call.inputs):
        raise Refused("joins inputs that are not lists of integers")
    return packed(call)


def gathered(call: Call) -> list[int]:
    given, places = (call.numbers(place, (len(call.values[place] or ()),)) for place in (0, 1))
    if not all(0 <= place < len(given) for place in places):
        raise Refused("takes an element beyond the end of a list")
    return [given[place] for place in places]


def multiplied(call: Call) -> list[int]:
    """The product of a list of integers."""
    product = math.prod(call.numbers(0, (len(call.values[0] or ()),)))
    if product > MAX_PRODUCT or call.options.get("keep_dims"):
        raise Refused("multiplies to a number that is too large")
    return [product]


def no_values(_call: Call) -> list[int]:
    raise Refused("gives integers")

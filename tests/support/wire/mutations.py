"""Damaged messages, as attackers and broken networks make them; the same seed gives the same messages."""

from collections.abc import Callable
from random import Random

VARINTS = [
    b"\xff" * 9 + b"\x01",
    b"\xff" * 11,
    b"\x80" * 12,
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x07",
    b"\x80\x00",
]
"""The largest number, two that never end, the largest of 32 bits, of 31, and a zero that is too long."""

MOST_CHANGES = 3


def mutated(data: bytes, random: Random) -> bytes:
    """`data` with one to three changes; sometimes without a change."""
    for _ in range(random.randint(0, MOST_CHANGES)):
        data = random.choice(CHANGES)(data, random)
    return data


def _flip_a_bit(data: bytes, random: Random) -> bytes:
    return _replaced(data, random, lambda byte: byte ^ 1 << random.randrange(8))


def _set_a_byte(data: bytes, random: Random) -> bytes:
    return _replaced(data, random, lambda _: random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)]))


def _change_a_wire_type(data: bytes, random: Random) -> bytes:
    """Most fields begin near the ends of a message: pixels are in between."""
    return _replaced(data, random, lambda byte: byte & 0xF8 | random.randrange(8))


def _cut(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _drop_the_beginning(data: bytes, random: Random) -> bytes:
    return data[_place(data, random) :]


def _repeat(data: bytes, random: Random) -> bytes:
    """The message repeated: every field several times."""
    return data * random.randint(2, 3) if len(data) < 20_000 else data + data[:16]


def _repeat_a_part(data: bytes, random: Random) -> bytes:
    begin = _place(data, random)
    part = data[begin : begin + random.randint(1, 40)]
    at = _place(data, random)
    return data[:at] + part + data[at:]


def _insert_a_varint(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.choice(VARINTS) + data[at:]


def _pad_a_varint(data: bytes, random: Random) -> bytes:
    """A number with leading zeros, of any length."""
    at = _place(data, random)
    if at >= len(data) or data[at] > 0x7F:
        return data
    return data[:at] + bytes([data[at] | 0x80]) + b"\x80" * random.randrange(9) + b"\0" + data[at + 1 :]


def _append_a_field(data: bytes, random: Random) -> bytes:
    """A known or unknown one, of any wire type, with a value that may be cut off."""
    tag = bytes([random.randrange(1, 16) << 3 | random.randrange(8)])
    return data + tag + random.choice([random.choice(VARINTS), random.randbytes(random.randrange(12)), b"\x01\x00"])


def _nest(data: bytes, random: Random) -> bytes:
    """The message as a field of itself, with a length that is right or not."""
    length = len(data) + random.choice([0, 0, 1, -1])
    varint = bytearray()
    while length > 127:
        varint.append(length & 127 | 128)
        length >>= 7
    return bytes([random.randrange(1, 8) << 3 | 2, *varint, max(0, length)]) + data


def _open_groups(data: bytes, random: Random) -> bytes:
    """Groups in groups, deeper than any parser may follow."""
    return data + bytes([random.randrange(1, 8) << 3 | 3]) * random.choice([1, 50, 200, 5_000])


CHANGES = [
    _flip_a_bit,
    _set_a_byte,
    _change_a_wire_type,
    _cut,
    _drop_the_beginning,
    _repeat,
    _repeat_a_part,
    _insert_a_varint,
    _pad_a_varint,
    _append_a_field,
    _nest,
    _open_groups,
]


def _place(data: bytes, random: Random) -> int:
    """Any position, but more often near the beginning or the end, where lengths and tags are."""
    if random.random() < 0.5 and len(data) > 40:
        return random.choice([random.randrange(20), len(data) - random.randrange(20)])
    return random.randint(0, len(data))


def _replaced(data: bytes, random: Random, change: Callable[[int], int]) -> bytes:
    if not data:
        return data
    at = min(_place(data, random), len(data) - 1)
    return data[:at] + bytes([change(data[at])]) + data[at + 1 :]

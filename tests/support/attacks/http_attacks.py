"""Attacks on the HTTP port, as `python -m support.attacks` makes them."""

import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.attacks.attacker import Attacker

HEAD = "POST /v2/models/digits/infer HTTP/1.1\r\nhost: localhost\r\n"
LARGEST = 4 * 1024 * 1024
UNFINISHED = 4_190_000
"""Bytes of a body of LARGEST that are sent."""
PICTURE = b"GET /model/1/report/history.png HTTP/1.1\r\nhost: localhost\r\n\r\n"


def http_idle(attacker: "Attacker", count: int) -> None:
    for _ in range(count):
        attacker.connect(b"")
    attacker.sent = count


def tls_idle(attacker: "Attacker", count: int) -> None:
    """Connections whose handshake never begins, or stops in its first message."""
    for number in range(count):
        attacker.connect(b"\x16\x03\x01\x02\x00\x01" * (number % 2))
    attacker.sent = count


def http_slow(attacker: "Attacker", count: int) -> None:
    """Headers without an end, a few bytes a second; half of the callers send a long body slowly instead."""
    for number in range(count):
        attacker.connect(f"{HEAD}content-length: 100000\r\n\r\n".encode() if number % 2 else HEAD.encode())
    attacker.sent = count

    def dribble() -> None:
        while True:
            for number, connection in enumerate(attacker.open):
                with suppress(OSError):
                    connection.sendall(b" " if number % 2 else b"x: y\r\n")
            time.sleep(1)

    threading.Thread(target=dribble, daemon=True).start()


def http_unread(attacker: "Attacker", count: int) -> None:
    """Callers that request a picture of the report again and again, and do not read it."""
    for _ in range(count):
        connection = attacker.connect(b"")
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(PICTURE * 200)
    attacker.sent = count

    def ask_again() -> None:
        while True:
            for number, connection in enumerate(attacker.open):
                try:
                    connection.send(PICTURE)
                except BlockingIOError:
                    pass
                except OSError:
                    connection.close()
                    with suppress(OSError):
                        attacker.connect(PICTURE * 200).setblocking(False)
                        attacker.open[number] = attacker.open.pop()
            time.sleep(0.1)

    threading.Thread(target=ask_again, daemon=True).start()


def http_unfinished_bodies(attacker: "Attacker", count: int) -> None:
    """Bodies whose last bytes never come."""
    begun = f"{HEAD}content-length: {LARGEST}\r\n\r\n".encode() + b" " * UNFINISHED
    for _ in range(count):
        attacker.connect(begun)
    attacker.sent = count


def http_tiny_chunks(attacker: "Attacker", count: int) -> None:
    """Bodies in chunks of one byte, one body after another."""
    attacker.begin_all(
        f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode() + b"1\r\n \r\n" * 4_000 + b"0\r\n\r\n", count
    )


def http_json(attacker: "Attacker", count: int) -> None:
    """Valid tensors of the largest size, as JSON, one after another on a few connections."""
    attacker.begin_all(_tensor("254.5"), count)


def http_huge_numbers(attacker: "Attacker", count: int) -> None:
    """The same with numbers beyond float32."""
    attacker.begin_all(_tensor("1e308"), count)


def _tensor(number: str) -> bytes:
    """A request with as many images of this number as fit."""
    images = LARGEST // (784 * (len(number) + 1)) - 1
    tensor = {"name": "images", "shape": [images, 784], "datatype": "FP32", "data": "@"}
    data = "[" + ",".join([number] * (784 * images)) + "]"
    text = json.dumps({"inputs": [tensor]}).replace('"@"', data).encode()
    return f"{HEAD}content-length: {len(text)}\r\n\r\n".encode() + text

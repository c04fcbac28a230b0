"""The process in which one model is tried.

    python -m digits_server.sandbox.child RUNTIME BYTES SECONDS

It reads the model from its standard input and answers {"cause", "message"} in JSON; both are empty for a good model. It
imports only what a model needs. It may use BYTES of address space and SECONDS of time.
"""

import json
import os
import signal
import sys

from digits_server.errors import ModelRejected
from digits_server.sandbox import confinement


def main(runtime: str, memory: int, seconds: int) -> None:
    confinement.die_with_parent()
    confinement.limit(memory, seconds)
    answer = os.dup(1)
    os.dup2(2, 1)  # so that the output of a library is not taken for the answer

    from digits_server.runtimes import loading
    from digits_server.sandbox.golden_images import GoldenImages

    loading.prepare(runtime)
    head = json.loads(sys.stdin.buffer.readline())
    pixels, scores, data = (sys.stdin.buffer.read(length) for length in head["lengths"])
    signal.alarm(seconds)  # from here on no library is loaded
    confinement.filter_calls()
    cause = message = ""
    try:
        content = loading.ModelContent(runtime=runtime, name=head["name"], data=data, scale=head["scale"])
        model = loading.load(content)
        GoldenImages.read(pixels, scores, head["tolerance"]).check(model, head["name"])
        loading.run_sizes(model, head["largest"])
    except ModelRejected as rejection:
        cause, message = rejection.cause, rejection.message
    except MemoryError:
        cause, message = "memory", f"{head['name']} needs more than {memory} bytes"
    except RuntimeError:  # LiteRT raises it if an operator cannot run
        cause, message = "load", "the model loads but cannot run"
    os.write(answer, json.dumps({"cause": cause, "message": message}).encode())
    os._exit(0)  # without destructors: a harmful model may have changed objects


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

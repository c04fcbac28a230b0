"""The default runtime: `model.tflite` in Google's LiteRT interpreter with its XNNPACK kernels."""

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from digits_server.errors import ModelRejected
from digits_server.runtimes import Images, Probabilities, in_pieces, padded_size, tflite_model

LARGEST_SHAPE = 256
"""Images of the largest shape that is compiled; larger batches run in pieces of this size. Beyond it an image costs as
much as before, but a convolutional network's activations need more memory."""


class LiteRTRuntime:
    """A `.tflite` model of one input uint8[N, 28, 28] and one output float32[N, 10]: probabilities, or distances.

    An interpreter is not thread-safe and holds one batch shape. So there is one for each power of two, and one more for
    each further thread that needs it at the same time. An interpreter warmed up in one thread may be used in another.
    """

    name = "litert"
    largest_shape = LARGEST_SHAPE

    def __init__(self, model: bytes, file: str = "model.tflite") -> None:
        """Loads the flatbuffer `model`. Raises ModelRejected if it is not allowed, or has other inputs or outputs.

        file  its name, for the error's sentence
        """
        tflite_model.check(model, LARGEST_SHAPE, file)
        self._file = file
        self._model = model
        self._idle: dict[int, list[Any]] = {}
        interpreter = self._compile(1)
        self._check(interpreter)
        self._idle[1] = [interpreter]

    def predict(self, images: Images) -> Probabilities:
        return in_pieces(self._run, images, LARGEST_SHAPE)

    def _run(self, images: Images) -> Probabilities:
        count = len(images)
        size = padded_size(count, LARGEST_SHAPE)
        idle = self._idle.setdefault(size, [])
        try:
            interpreter = idle.pop()
        except IndexError:
            interpreter = self._compile(size)
        probabilities: Probabilities
        if count == size:
            interpreter.set_tensor(self._input, images)
            interpreter.invoke()
            probabilities = interpreter.get_tensor(self._output)
        else:
            # No variable may hold a view into the interpreter's memory while it runs, so the views have no names.
            # Rows beyond `count` hold images of an earlier batch: each row is computed on its own, and these are cut
            # off.
            interpreter.tensor(self._input)()[:count] = images
            interpreter.invoke()
            probabilities = interpreter.tensor(self._output)()[:count].copy()
        idle.append(interpreter)
        return probabilities

    def _compile(self, size: int) -> Any:
        try:
            interpreter = Interpreter(model_content=self._model, num_threads=1)
            self._input = interpreter.get_input_details()[0]["index"]
            self._output = interpreter.get_output_details()[0]["index"]
            interpreter.resize_tensor_input(self._input, [size, 28, 28], strict=True)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, IndexError) as error:
            raise ModelRejected("load", f"{self._file} is not a LiteRT model of 28 × 28 images") from error
        return interpreter

    def _check(self, interpreter: Any) -> None:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        found = [(item["dtype"], list(item["shape"])) for item in (*inputs, *outputs)]
        if found != [(np.uint8, [1, 28, 28]), (np.float32, [1, 10])]:
            raise ModelRejected("load", f"{self._file} must take uint8[N, 28, 28] and give float32[N, 10]")

"""A Keras model in the formats of other runtimes, with proof that it gives the same answers.

`litert` is what serves; `unlike` measures what is not a digit; `keras_files` and `onnx` are for other programs.
"""

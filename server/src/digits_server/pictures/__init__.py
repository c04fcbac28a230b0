"""Pictures of one digit: decodes them, removes paper and dirt, and makes strokes as wide as a pen's.

file ──files──▶ picture ──margin──▶ with paper around its digit ──ink──▶ ink of the whole page ──digit──▶ ink of the
digit ──strokes──▶ the same, as wide as a pen's
"""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""A colour picture: uint8[height, width, 3]."""

Ink = NDArray[np.float32]
"""The amount of ink: float32[height, width], 0 for paper. The functions that make it name its unit."""

WORKING_SIDE = 512
"""Longest side of a picture, in pixels: larger files are reduced first. Enough for a digit of 20 pixels, and cheap."""

"""Pictures of one digit, as people take them, to ink: decoded, freed of paper and dirt, in strokes of a pen's weight.

file ──files──▶ picture ──margin──▶ one with paper around its digit ──ink──▶ ink of the whole page ──digit──▶ the
digit's alone ──strokes──▶ the same, as a pen's
"""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""A colour picture: uint8[height, width, 3]."""

Ink = NDArray[np.float32]
"""How much ink is where: float32[height, width], 0 for paper. The unit is said where it is made."""

WORKING_SIDE = 512
"""Pixels of a picture's longer side at most: a file is reduced to it before anything is measured. Plenty for a digit
of 20, and cheap."""

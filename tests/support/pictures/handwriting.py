"""Digits as a hand draws them: strokes of points (x, y), from 0 to 1 across a sheet and down it."""

import numpy as np

Stroke = list[tuple[float, float]]


def curve(*through: tuple[float, float], points: int = 24) -> Stroke:
    """A smooth stroke through these points (uniform Catmull-Rom)."""
    ends = [through[0], *through, through[-1]]
    smooth: Stroke = []
    each = max(2, points // (len(through) - 1))
    for before, start, end, after in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        p = np.array([before, start, end, after])
        for t in np.linspace(0, 1, each, endpoint=False):
            weights = (
                np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
            )
            x, y = weights @ p
            smooth.append((float(x), float(y)))
    return [*smooth, through[-1]]


DIGITS: dict[int, list[Stroke]] = {
    0: [
        curve(
            (0.52, 0.16),
            (0.36, 0.3),
            (0.31, 0.52),
            (0.38, 0.76),
            (0.52, 0.83),
            (0.66, 0.7),
            (0.69, 0.45),
            (0.6, 0.2),
            (0.52, 0.16),
        )
    ],
    1: [[(0.55, 0.14), (0.5, 0.5), (0.46, 0.86)]],
    2: [curve((0.32, 0.3), (0.42, 0.17), (0.6, 0.2), (0.65, 0.36), (0.5, 0.6), (0.31, 0.8), (0.42, 0.79), (0.7, 0.81))],
    3: [
        curve(
            (0.34, 0.22),
            (0.5, 0.15),
            (0.64, 0.24),
            (0.6, 0.4),
            (0.46, 0.48),
            (0.62, 0.55),
            (0.67, 0.7),
            (0.53, 0.84),
            (0.33, 0.79),
        )
    ],
    4: [curve((0.36, 0.18), (0.31, 0.48), (0.42, 0.54), (0.66, 0.48)), [(0.66, 0.2), (0.62, 0.5), (0.59, 0.86)]],
    5: [
        curve((0.4, 0.2), (0.37, 0.45), (0.52, 0.43), (0.65, 0.55), (0.62, 0.76), (0.48, 0.84), (0.32, 0.78)),
        [(0.4, 0.2), (0.68, 0.17)],
    ],
    6: [
        curve(
            (0.6, 0.15), (0.42, 0.35), (0.34, 0.6), (0.4, 0.8), (0.56, 0.83), (0.64, 0.68), (0.54, 0.56), (0.37, 0.64)
        )
    ],
    7: [[(0.3, 0.22), (0.5, 0.2), (0.69, 0.2)], curve((0.69, 0.2), (0.58, 0.45), (0.48, 0.86))],
    8: [
        curve(
            (0.62, 0.24),
            (0.48, 0.15),
            (0.37, 0.28),
            (0.5, 0.47),
            (0.63, 0.66),
            (0.52, 0.84),
            (0.37, 0.72),
            (0.48, 0.5),
            (0.64, 0.3),
            (0.62, 0.24),
        )
    ],
    9: [
        curve((0.64, 0.3), (0.5, 0.17), (0.37, 0.3), (0.44, 0.46), (0.6, 0.42), (0.64, 0.28)),
        curve((0.65, 0.25), (0.63, 0.5), (0.56, 0.86)),
    ],
}
"""Each of the ten, as people write them who have learned it the American way, as those of the MNIST set had."""

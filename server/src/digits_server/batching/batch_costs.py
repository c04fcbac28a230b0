"""How long a batch of each size takes, in seconds: measured at the warm-up, corrected by every batch since."""

from collections.abc import Mapping

OVERHEAD_SECONDS = 0.00002
"""Seconds that one batch takes outside the model: to leave the queue, and to go to the model and back."""

NEARLY = 1.25
"""A batch is large enough if an image in it costs at most this many times its cost in the cheapest batch size."""

MEMORY = 0.9
"""Weight of the earlier estimate against one more batch."""

LEAST_CORRECTION, MOST_CORRECTION = 0.25, 20.0
"""Bounds of the correction: the machine may have been busy at the warm-up, or be busy now."""


class BatchCosts:
    """Seconds by batch size. The keys of `measured` are the sizes 1, 2, 4, …, in images."""

    def __init__(self, measured: Mapping[int, float]) -> None:
        self._measured = dict(sorted(measured.items()))
        self._correction = 1.0

    def doubled(self) -> "BatchCosts":
        """The costs if each image takes twice as much work."""
        return BatchCosts({size: 2 * seconds for size, seconds in self._measured.items()})

    def of(self, images: int) -> float:
        """Seconds that `images` take, in batches of the largest measured size and one batch for the rest."""
        return self.at_warm_up(images) * self._correction

    def at_warm_up(self, images: int) -> float:
        """The same, as measured at the warm-up."""
        largest = max(self._measured)
        whole, rest = divmod(images, largest)
        seconds = whole * self._measured[largest]
        if rest:
            seconds += self._measured[1 << (rest - 1).bit_length()]
        return seconds

    def ran(self, images: int, seconds: float) -> None:
        """One batch took `seconds`."""
        found = seconds / max(self.at_warm_up(images), 1e-9)
        mixed = MEMORY * self._correction + (1 - MEMORY) * found
        self._correction = min(max(mixed, LEAST_CORRECTION), MOST_CORRECTION)

    @property
    def efficient_size(self) -> int:
        """The smallest size in which an image costs nearly the least. A larger batch only delays other requests."""
        by_image = {size: (seconds + OVERHEAD_SECONDS) / size for size, seconds in self._measured.items()}
        cheapest = min(by_image.values())
        return next(size for size, seconds in by_image.items() if seconds <= NEARLY * cheapest)

    def largest_within(self, seconds: float) -> int:
        """The largest size that takes at most `seconds`, if all smaller sizes do too; 0 if no size does."""
        largest = 0
        for size, cost in self._measured.items():
            if cost > seconds:
                break
            largest = size
        return largest

"""What a batch costs: the seconds of each size, measured at the warm-up and corrected by every batch since."""

from collections.abc import Mapping

OVERHEAD_SECONDS = 0.00002
"""Of one batch beside the model: taken from the queue, handed in, handed out."""

NEARLY = 1.25
"""A batch is large enough when an image in it costs at most so many times what it costs in the cheapest size."""

MEMORY = 0.9
"""Weight of what was known against one more batch."""

LEAST_CORRECTION, MOST_CORRECTION = 0.25, 20.0
"""Between a machine that was busy at the warm-up and one that is now."""


class BatchCosts:
    """Seconds by batch size. `measured` has sizes in powers of two from 1 on, each the images of one batch."""

    def __init__(self, measured: Mapping[int, float]) -> None:
        self._measured = dict(sorted(measured.items()))
        self._correction = 1.0

    def of(self, images: int) -> float:
        """Seconds that `images` take, in batches of the largest size measured and one for the rest."""
        return self.at_warm_up(images) * self._correction

    def at_warm_up(self, images: int) -> float:
        """The same, without what was learned since."""
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
        """The smallest size in which an image costs nearly as little as in any: a larger one delays others in vain."""
        by_image = {size: (seconds + OVERHEAD_SECONDS) / size for size, seconds in self._measured.items()}
        cheapest = min(by_image.values())
        return next(size for size, seconds in by_image.items() if seconds <= NEARLY * cheapest)

    def largest_within(self, seconds: float) -> int:
        """The largest size that takes at most `seconds`, all smaller ones too; 0 if none."""
        largest = 0
        for size, cost in self._measured.items():
            if cost > seconds:
                break
            largest = size
        return largest

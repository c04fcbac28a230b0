"""The golden images of a version: images in its manifest, with the probabilities that its model must give."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digits_server.errors import ModelRejected
from digits_server.runtimes import Images, Probabilities, Runtime

if TYPE_CHECKING:  # the process in which a model is tried reads no manifest
    from digits.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class GoldenImages:
    """uint8[N, 28, 28], their published probabilities, and the tolerance. N may be 0."""

    images: Images
    probabilities: Probabilities
    tolerance: float

    @classmethod
    def of(cls, manifest: "Manifest") -> "GoldenImages":
        pixels = b"".join(item.image for item in manifest.golden_images)
        scores = [item.probabilities for item in manifest.golden_images]
        return cls.read(pixels, np.array(scores, np.float32).tobytes(), manifest.golden_tolerance)

    @classmethod
    def read(cls, pixels: bytes, probabilities: bytes, tolerance: float) -> "GoldenImages":
        """From the bytes of both arrays."""
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
        return cls(images, np.frombuffer(probabilities, np.float32).reshape(-1, 10), tolerance)

    def check(self, runtime: Runtime) -> None:
        """Computes them again. Raises ModelRejected if a probability differs by more than the tolerance."""
        if not len(self.images):
            return
        difference = np.abs(runtime.predict(self.images) - self.probabilities)
        failed = ~(difference <= self.tolerance)  # written this way, NaN fails too
        if failed.any():
            raise ModelRejected(
                "golden",
                f"{int(failed.any(axis=1).sum())} of {len(self.images)} golden images score otherwise than published, "
                f"by up to {difference.max():.3g}; allowed {self.tolerance:.3g}",
            )

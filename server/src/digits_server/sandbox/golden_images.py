"""The golden images of a version: images in its manifest, with the numbers that its model files must give."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digits_server.errors import ModelRejected
from digits_server.runtimes import Images, Probabilities, Runtime

if TYPE_CHECKING:  # the sandbox process reads no manifest
    from digits.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class GoldenImages:
    """uint8[N, 28, 28], their published probabilities or distances, and the tolerance. N may be 0."""

    images: Images
    probabilities: Probabilities
    tolerance: float

    @classmethod
    def of(cls, manifest: "Manifest") -> "GoldenImages":
        pixels = b"".join(item.image for item in manifest.golden_images)
        scores = [item.probabilities for item in manifest.golden_images]
        return cls.read(pixels, np.array(scores, np.float32).tobytes(), manifest.golden_tolerance)

    @classmethod
    def of_unlike(cls, manifest: "Manifest") -> "GoldenImages":
        """The same images with the distances that unlike.tflite must give."""
        pixels, unlike = b"".join(item.image for item in manifest.golden_images), manifest.unlike
        return cls.read(pixels, np.array(unlike.golden_distances, np.float32).tobytes(), unlike.golden_tolerance)

    @classmethod
    def read(cls, pixels: bytes, probabilities: bytes, tolerance: float) -> "GoldenImages":
        """From the bytes of both arrays."""
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
        return cls(images, np.frombuffer(probabilities, np.float32).reshape(-1, 10), tolerance)

    def check(self, runtime: Runtime, file: str) -> None:
        """Computes them again. Raises ModelRejected, which names `file`, if a number differs by more than allowed."""
        if not len(self.images):
            return
        difference = np.abs(runtime.predict(self.images) - self.probabilities)
        failed = ~(difference <= self.tolerance)  # written this way, NaN fails too
        if failed.any():
            raise ModelRejected(
                "golden",
                f"{file}: {int(failed.any(axis=1).sum())} of {len(self.images)} golden images give other scores "
                f"than published, by up to {difference.max():.3g}; allowed {self.tolerance:.3g}",
            )

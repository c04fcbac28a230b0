"""Scores MNIST's test set in bulk and holds the result against the manifest: run by `make test-bulk`.

check.py MODEL IMAGES.npz        images: uint8[N, 28, 28], labels: uint8[N]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILES = 4
LIMIT_SECONDS = 120.0


def main() -> None:
    version, data = Path(sys.argv[1]), np.load(sys.argv[2])
    images, labels = data["images"], data["labels"]
    with tempfile.TemporaryDirectory() as folder:
        given, scored = Path(folder, "images"), Path(folder, "scores")
        given.mkdir()
        for part, rows in enumerate(np.array_split(np.arange(len(images)), FILES)):
            pixels = pa.array([images[row].tobytes() for row in rows], pa.binary(784))
            pq.write_table(pa.table({"id": rows, "pixels": pixels}), given / f"{part}.parquet")
        script = Path(__file__).with_name("score.py")
        subprocess.run([sys.executable, script, version, given, scored], check=True, timeout=LIMIT_SECONDS)
        table = pq.read_table(scored).sort_by("id")
    manifest = json.loads((version / "manifest.json").read_text())
    accuracy = float((table["digit"].to_numpy() == labels).mean())
    assert table["id"].to_pylist() == list(range(len(images))), "expected every image once"
    assert set(table["model_version"].to_pylist()) == {int(manifest["modelVersion"])}
    assert abs(accuracy - manifest["metrics"]["testAccuracy"]) < 1e-9, (
        f"expected the manifest's accuracy, got {accuracy}"
    )
    print(f"{len(images):,} images scored, accuracy {accuracy:.4f} as the manifest says")


if __name__ == "__main__":
    main()

"""Where things lie."""

from benchmarks.serving.paths import ROOT

FOLDER = ROOT / "benchmarks" / "scaling"
BUILD = FOLDER / "build"
"""What a run makes and nobody commits."""

RESULTS = BUILD / "results.json"
PAGE = ROOT / "docs" / "scaling.md"

"""Where things lie."""

import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "training.md"
DIGITS_TRAIN = Path(sysconfig.get_path("scripts")) / "digits-train"

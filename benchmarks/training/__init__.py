"""How fast and how good the training job is; `python -m benchmarks.training` rewrites docs/training.md's figures."""

"""What the commands do, step by step: train, import, evaluate.

`release` publishes a finished model if the `gate` lets it; `audit` computes published figures again.
"""

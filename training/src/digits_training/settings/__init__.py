"""Every setting of a run, and the networks that a run can train.

`fields` has each setting with its default, unit and bounds; `networks` has the defaults of each network.
"""

from digits_training.settings.fields import (
    ACTIVATIONS,
    MODEL_NAME,
    OPTIMIZERS,
    STEP,
    Kind,
    Settings,
    flag,
)

__all__ = ["ACTIVATIONS", "MODEL_NAME", "OPTIMIZERS", "STEP", "Kind", "Settings", "flag"]

"""The optimizer, with its step size over the run."""

from typing import Any

from digits_training.settings import Settings


def build_optimizer(settings: Settings, steps_per_epoch: int) -> Any:
    """The Keras optimizer that the settings name; settings that are not given keep Keras's default."""
    import keras

    config: dict[str, Any] = {"learning_rate": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.averaging:
        config |= {"use_ema": True, "ema_momentum": settings.averaging}
    config = {name: value for name, value in config.items() if value is not None}
    if settings.schedule == "cosine":
        default = float(keras.optimizers.get(settings.optimizer).learning_rate)
        warm_up = min(steps_per_epoch, steps_per_epoch * settings.epochs // 4)
        config["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=config.get("learning_rate", default),
            warmup_steps=warm_up,
            decay_steps=steps_per_epoch * settings.epochs - warm_up,
        )
    return keras.optimizers.get({"class_name": settings.optimizer, "config": config})

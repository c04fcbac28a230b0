"""The figures of each epoch for TensorBoard, written with TensorFlow's own writer.

TensorBoard need not be installed. Names and folders are those of Keras's callback, so that TensorBoard shows runs of
both in the same diagrams: `epoch_loss` and `epoch_accuracy` in `train` and `validation`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits_training.runs.record import Run, Say, new_folder
from digits_training.settings import Settings
from digits_training.settings.networks import name_of

History = list[dict[str, float]]

_FOLDERS = {"": "train", "val_": "validation"}  # by the prefix of a figure's name


def epoch_writer(settings: Settings, run: Run, say: Say) -> Callable[[History], None]:
    """A function that writes the epochs of a growing history to the record, and to --tensorboard if it is set.

    Raises OSError if --tensorboard cannot be written to.
    """
    if settings.tensorboard is None:
        return run.epochs
    name = run.folder.name if run.folder else name_of(settings.network).replace(":", "-")
    scalars = Scalars(settings.tensorboard, name, say)
    say(f"for TensorBoard: {scalars.folder}; to look at it: tensorboard --logdir {settings.tensorboard}")

    def write(history: History) -> None:
        run.epochs(history)
        scalars.epochs(history)

    return write


class Scalars:
    """Writes the epochs of one run into a new folder of `folder`. A failure ends the writing, but not the run."""

    def __init__(self, folder: Path, run: str, say: Say) -> None:
        self.folder = new_folder(folder, run)
        self._say = say
        self._failed = False
        self._writers: dict[str, Any] = {}
        self._written = 0  # epochs

    def epochs(self, history: History) -> None:
        """Writes the epochs of `history` that were not written yet; the first is epoch 0, as in Keras's callback."""
        import tensorflow as tf

        if self._failed:
            return
        try:
            for epoch in range(self._written, len(history)):
                for name, value in history[epoch].items():
                    self._write(name, value, epoch)
            for writer in self._writers.values():
                writer.flush()
        except tf.errors.OpError:
            self._failed = True
            self._say(f"the figures for TensorBoard are incomplete: {self.folder} cannot be written")
        self._written = len(history)

    def _write(self, name: str, value: float, epoch: int) -> None:
        import tensorflow as tf
        from tensorflow.core.framework.summary_pb2 import SummaryMetadata

        prefix = "val_" if name.startswith("val_") else ""
        if prefix not in self._writers:
            self._writers[prefix] = tf.summary.create_file_writer(str(self.folder / _FOLDERS[prefix]))
        scalar = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
        with self._writers[prefix].as_default():
            tf.summary.write(f"epoch_{name.removeprefix(prefix)}", tf.constant(value, tf.float32), epoch, scalar)

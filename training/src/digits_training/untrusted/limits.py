"""The limits of a model file, each with its unit, and the error for a file that exceeds one."""

from digits_training.errors import ModelFileError

MAX_BYTES = 256 * 2**20  # of a file, of an unpacked zip, of the arrays of an HDF5 file
MAX_CONFIG_BYTES = 2**20
MAX_EXPANSION = 100  # times the stored size that anything may unpack to; DEFLATE reaches 1,032
MAX_OBJECTS = 5_000  # groups and datasets of an HDF5 file
MAX_GROUP_DEPTH = 16
MAX_PARAMETERS = 50_000_000  # of a model
MAX_FEATURES = 4_000_000  # values of one layer for one image
MAX_FILES = 1_000  # of a SavedModel
MAX_MODEL_DEPTH = 16  # models inside models
MAX_LIST_DEPTH = 4  # lists inside lists, in one value of the configuration
MAX_INTEGER = 2**31 - 1  # in the configuration
MAX_NAME = 500  # characters of the name of a layer or model
MAX_REASON = 300  # characters of an error message, which may quote the file


def require(condition: bool, reason: str) -> None:
    """Raises ModelFileError with the reason unless the condition holds."""
    if not condition:
        raise ModelFileError(f"refused: {reason[:MAX_REASON]}")

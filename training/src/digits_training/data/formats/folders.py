"""Finds out which format is at a path, and calls its reader; says how to convert other formats."""

from pathlib import Path

from digits_training.data.formats import csv_files, idx, numpy_files, parquet, pictures
from digits_training.data.labelled import StoredData
from digits_training.data.limits import MAX_NAMED
from digits_training.errors import DataError

TAKEN = (
    "expected a folder of four IDX files, of .npy files, of train.csv or of pictures such as train/7/12.png, "
    "or an .npz, .csv or .parquet file"
)

CONVERSIONS = {  # other common formats, and how to convert each to a format that is read
    ".npy": "put images and labels as x_train.npy and y_train.npy into a folder, and name the folder",
    ".zip": "unpack it, and name the folder",
    ".tar": "unpack it, and name the folder",
    ".tgz": "unpack it, and name the folder",
    ".mat": "convert it: m = scipy.io.loadmat(FILE); np.savez('data.npz', x_train=m['X'], y_train=m['y'])",
    ".pt": "convert it: x, y = torch.load(FILE); np.savez('data.npz', x_train=x, y_train=y)",
    ".pkl": "convert it: x, y = pickle.load(open(FILE, 'rb')); np.savez('data.npz', x_train=x, y_train=y)",
    ".h5": "convert it: f = h5py.File(FILE); np.savez('data.npz', x_train=f['x'], y_train=f['y'])",
    ".arff": "convert it: pandas.DataFrame(scipy.io.arff.loadarff(FILE)[0]).to_csv('train.csv', index=False)",
    ".xlsx": "convert it: pandas.read_excel(FILE).to_csv('train.csv', index=False)",
    ".gz": "an IDX file is one of four: name the folder that holds them",
}


def read(path: Path, labels: tuple[str, ...]) -> StoredData:
    """The data at `path` as its files store them. `labels`: the ten names of the labels. Raises DataError."""
    if not path.exists():
        raise DataError(f"--data {path} does not exist: {TAKEN}")
    if path.is_dir():
        return _read_folder(path, labels)
    if path.suffix == ".npz":
        return numpy_files.read_npz(path)
    if path.name.endswith(csv_files.SUFFIXES):
        return csv_files.read_file(path)
    if path.suffix == parquet.SUFFIX:
        return parquet.read_file(path)
    advice = CONVERSIONS.get(".gz" if "idx" in path.name else path.suffix.lower(), TAKEN)
    raise DataError(f"--data {path} cannot be read: {advice}")


def _read_folder(directory: Path, labels: tuple[str, ...]) -> StoredData:
    names = [path.name for path in sorted(directory.iterdir())]
    if any("idx" in name for name in names):
        return idx.read(directory)
    if any(name.endswith(".npy") for name in names):
        return numpy_files.read_folder(directory)
    if any(name.endswith(csv_files.SUFFIXES) for name in names):
        return csv_files.read_folder(directory)
    if any(name.endswith(parquet.SUFFIX) for name in names):
        return parquet.read_folder(directory)
    if any((directory / name).is_dir() and not name.startswith(".") for name in names):
        return pictures.read(directory, labels)
    found = ", ".join(names[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "") or "no files"
    raise DataError(f"--data {directory} holds no data set: {TAKEN}; found: {found}")

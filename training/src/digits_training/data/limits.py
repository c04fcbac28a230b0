"""Every limit of reading data, with its unit."""

MAX_IMAGES = 2_000_000  # in a file or folder; 1.6 GB as bytes. A header that claims more is taken for damage.
MAX_ARRAY_BYTES = MAX_IMAGES * 28 * 28  # of one array in an .npz file, unpacked
MAX_CSV_LINE_BYTES = 32_768  # 785 numbers of up to 40 characters
MAX_PICTURE_PIXELS = 50_000_000  # width × height of one picture file
MAX_PICTURE_BYTES = 64_000_000  # of one picture file
DEFAULT_TEST_SHARE = 0.2  # of the images, where the data have no test images of their own
FEW_IMAGES = 50  # training images of a label below which a warning is given
LIGHT_PAPER = 128  # median of an image's edge pixels from which its paper counts as light
MAX_NAMED = 3  # files or labels named in one sentence; of the others the number is said

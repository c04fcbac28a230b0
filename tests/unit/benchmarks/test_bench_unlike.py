"""Scores of how unlike a digit an image is: their separation, the scores, the images used."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from benchmarks.common.report import spliced
from benchmarks.unlike import figures, kinds, page, scores
from benchmarks.unlike.__main__ import BEGIN, END, PAGE


def _scores(*values: float) -> figures.Scores:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("unlike", "good", "area"),
    [
        (_scores(3, 4), _scores(1, 2), 1.0),
        (_scores(1, 2), _scores(3, 4), 0.0),
        (_scores(1, 1), _scores(1, 1), 0.5),
        (_scores(1, 3), _scores(2), 0.5),
        (_scores(2, 3), _scores(1, 2), 0.875),
        (_scores(np.inf, -np.inf), _scores(0), 0.5),
    ],
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(
    unlike: figures.Scores, good: figures.Scores, area: float
) -> None:
    assert figures.auroc(unlike, good) == area


def test_auroc_agrees_with_the_comparison_of_every_pair() -> None:
    random = np.random.default_rng(0)
    unlike, good = random.integers(0, 9, 70).astype(np.float64), random.integers(0, 9, 90).astype(np.float64)
    pairs = (unlike[:, None] > good).mean() + (unlike[:, None] == good).mean() / 2
    assert figures.auroc(unlike, good) == pytest.approx(pairs, abs=1e-12)


def test_a_threshold_catches_the_share_it_is_to_catch() -> None:
    unlike = np.arange(100, dtype=np.float64)
    assert figures.refused(unlike, figures.threshold_that_catches(unlike)) == 0.95
    assert figures.refused(_scores(1, 1, 1, 2), figures.threshold_that_catches(_scores(1, 1, 1, 2))) == 1


def test_a_threshold_refuses_no_more_digits_than_it_may() -> None:
    good = np.arange(1000, dtype=np.float64)
    assert figures.refused(good, figures.threshold_that_refuses(good)) == 0.01
    same = np.zeros(1000)
    assert figures.refused(same, figures.threshold_that_refuses(same)) == 0


def test_every_score_is_higher_for_the_less_certain_answer() -> None:
    logits = np.array([[9.0, 0, 0], [2, 1, 0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    of_probabilities = (scores.highest_probability, scores.entropy, scores.margin)
    of_logits = (scores.highest_logit, scores.energy)
    found = [score(probabilities) for score in of_probabilities] + [score(logits) for score in of_logits]
    assert all(certain < doubtful for certain, doubtful in found)
    assert scores.energy(logits)[0] == pytest.approx(-np.log(np.exp(9) + 2))


def test_probabilities_of_zero_and_one_have_an_entropy() -> None:
    assert scores.entropy(np.array([[1.0, 0, 0], [0.5, 0.5, 0]])) == pytest.approx([0, np.log(2)])


def test_the_distance_to_class_means_counts_in_deviations_of_the_training_data() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.array([0, 7], np.uint8), 5000)
    features = random.normal(0, (1, 10), (10_000, 2)) + 100 * (labels == 7)[:, None]
    distance = scores.ClassMeans(features, labels)
    near, along, across = distance(np.array([[100.0, 100], [100, 130], [130, 100]]))
    assert near == pytest.approx(0, abs=0.2)
    assert along == pytest.approx(9, rel=0.2)
    assert across > 50 * along


def test_features_that_never_vary_have_a_distance() -> None:
    features = np.array([[0.0, 1], [0, 2], [0, 3], [0, 4]])
    found = scores.ClassMeans(features, np.array([0, 0, 1, 1], np.uint8))(np.array([[0, 1.5], [5, 1.5]]))
    assert np.isfinite(found).all()
    assert found[0] < found[1]


def test_the_nearest_training_image_is_found_in_every_block() -> None:
    features = np.array([[1.0, 0], [0, 3]])
    points = np.tile([[0.0, 9], [-1, 0], [0, 0]], (scores.BLOCK, 1))
    found = scores.Nearest(features)(points)
    assert found == pytest.approx(np.tile([0.0, 2, 1], scores.BLOCK), abs=1e-12)


def test_a_quarter_is_the_mean_of_each_channel_over_it() -> None:
    maps = np.zeros((1, 3, 3, 2))
    maps[0, :2, :2, 0], maps[0, 2, 2, 1], maps[0, 2, 0, 1] = 6, 8, 4
    assert scores.quarters(maps).tolist() == [[6, 0, 0, 0, 0, 2, 0, 8]]


def test_letters_are_those_that_look_like_no_digit() -> None:
    alphabet = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert set(kinds.LETTERS) | set(kinds.LIKE_DIGITS) == alphabet | {letter.lower() for letter in alphabet}
    assert not set(kinds.LETTERS.upper()) & set(kinds.LIKE_DIGITS.upper())
    named = re.search(r"look like digits \(([A-Z ]+),", PAGE.read_text(encoding="utf-8").replace("\n", " "))
    assert named is not None
    assert set(named[1].split()) == set(kinds.LIKE_DIGITS.upper())


def test_typeset_characters_come_font_by_font() -> None:
    fonts = [Path(mpl.get_data_path()) / "fonts" / "ttf" / name for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf")]
    with ThreadPoolExecutor(1) as pool:
        both = kinds.typeset("XE", fonts, pool)
        second = kinds.typeset("X", fonts[1:], pool)
    assert both.shape == (4, 28, 28)
    assert both.dtype == np.uint8
    other_colours, other_letter = (np.abs(image.astype(int) - second[0]).mean() for image in (both[2], both[3]))
    assert other_colours < other_letter / 4


def test_scribbles_differ_and_are_the_same_on_every_run() -> None:
    first, again, other = kinds.scribble(1), kinds.scribble(1), kinds.scribble(2)
    assert first.shape == (28, 28)
    assert (first == again).all()
    assert (first != other).any()
    assert first.max() > 200
    assert first[0].max() == 0


def test_blank_images_have_one_shade_each() -> None:
    images = kinds.blank()
    assert images.shape == (256, 28, 28)
    assert (images == np.arange(256)[:, None, None]).all()


def test_noise_is_fine_and_coarse_and_the_same_on_every_run() -> None:
    images = kinds.noise(8)
    assert images.shape == (8, 28, 28)
    assert images.dtype == np.uint8
    assert (images == kinds.noise(8)).all()
    for image, grain in zip(images, kinds.GRAINS * 2, strict=True):
        squares = image.reshape(28 // grain, grain, 28 // grain, grain)
        assert (squares == squares[:, :1, :, :1]).all()
    assert (images[0] != images[4]).any()


def test_missing_clothes_name_the_package_that_brings_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        kinds.clothes(tmp_path / "missing")


def test_the_tables_hold_the_measured_figures() -> None:
    found = {
        "entropy": {"MNIST": np.zeros(100), "printed": _scores(0, 3), "letters": _scores(1, 2), "clothes": np.zeros(4)}
    }
    good, unlike = ["MNIST", "printed"], ["letters", "clothes"]
    assert "| entropy | 1.000 / 0.500 | 0.500 / 0.250 |" in page.separation(found, good, unlike)
    row = page.thresholds(found, good, unlike).splitlines()[-1]
    assert row == "| entropy | 0.0% / 50.0% | 100.0% / 100.0% | 50.0% | 100.0% | 0.0% |"


def test_the_served_score_refuses_images_above_1() -> None:
    table = page.above_1({"MNIST": _scores(0.2, 0.5, 1.0, 1.1), "blank": _scores(4)})
    assert table.splitlines() == ["| `unlike` above 1 | MNIST | blank |", "|---|---|---|", "| share | 25.0% | 100.0% |"]


def test_confidences_stand_beside_the_number_of_images() -> None:
    kind = kinds.Kind("blank", kinds.blank()[:4])
    table = page.confidences([kind], {"cnn": [_scores(0.5, 0.7, 0.95, 0.99)]})
    assert table.splitlines()[-1] == "| blank | 4 | 82.5% | 50% |"


def test_the_documentation_has_both_markers() -> None:
    assert "new" in spliced(PAGE.read_text(encoding="utf-8"), "new", BEGIN, END)

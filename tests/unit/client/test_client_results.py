"""A prediction is a value: it compares, hashes and turns into JSON."""

import json

import numpy as np
import pytest

from digits_client import Prediction, Predictions

ROW = np.full(10, 0.1, np.float32)


def test_predictions_of_equal_fields_are_equal_and_have_one_hash() -> None:
    assert Prediction(7, 0.5, 1) == Prediction(7, 0.5, 1)
    assert Prediction(7, 0.5, 1, ROW) == Prediction(7, 0.5, 1, ROW.copy())
    assert len({Prediction(7, 0.5, 1, ROW), Prediction(7, 0.5, 1, ROW.copy())}) == 1


@pytest.mark.parametrize(
    "other",
    [
        Prediction(6, 0.5, 1, ROW),
        Prediction(7, 0.4, 1, ROW),
        Prediction(7, 0.5, 2, ROW),
        Prediction(7, 0.5, 1),
        Prediction(7, 0.5, 1, ROW * 2),
        Prediction(7, 0.5, 1, ROW, "seven"),
        Prediction(7, 0.5, 1, ROW, unlike=0.5),
        (7, 0.5, 1, ROW),
        None,
    ],
    ids=str,
)
def test_a_prediction_that_differs_in_any_field_is_not_equal(other: object) -> None:
    mine = Prediction(7, 0.5, 1, ROW)
    assert mine != other
    assert other != mine


def test_a_prediction_turns_into_a_dictionary_that_json_takes() -> None:
    assert json.loads(json.dumps(Prediction(7, 0.5, 1).to_dict())) == {
        "digit": 7,
        "confidence": 0.5,
        "model_version": 1,
        "probabilities": None,
        "label": None,
        "unlike": None,
    }
    columns = (np.array([7], np.uint8), np.array([0.5], np.float32), np.array([1], np.int64))
    (one,) = Predictions(*columns, np.full((1, 10), 0.5, np.float32))
    assert json.loads(json.dumps(one.to_dict()))["probabilities"] == [0.5] * 10

"""Input files: every layout that is allowed comes out the same, every other is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.coding.data_file import load_data
from neurodeploy.coding.encoding import parse_encoding
from neurodeploy.errors import DeployError
from tests.conftest import spikes

SHAPE = {"input": (2, 3)}


def save(tmp_path: Path, **arrays: Any) -> Path:
    np.savez(tmp_path / "d.npz", **arrays)
    return tmp_path / "d.npz"


def test_batch_first_data_is_turned(tmp_path: Path, rng: np.random.Generator) -> None:
    x = spikes(rng, 7, 4, 2, 3)
    data = load_data(save(tmp_path, x=x.swapaxes(0, 1), y=np.arange(4)), SHAPE, batch_first=True)
    np.testing.assert_array_equal(data.x["input"], x)


def test_several_inputs_have_names(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b = spikes(rng, 5, 2, 3), spikes(rng, 5, 2, 4)
    path = tmp_path / "d.npz"
    np.savez(path, **{"x/a": a, "x/b": b})
    np.testing.assert_array_equal(load_data(path, {"a": (3,), "b": (4,)}).x["b"], b)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            {"x": np.zeros((5, 2, 2, 4))},
            {},
            r"input 'input' has shape \(5, 2, 2, 4\), but the model takes \[T, B, \*\[2, 3\]\]",
        ),
        ({"z": np.zeros(3)}, {}, "there is nothing for input input; the file holds z"),
        ({"x": np.full((5, 2, 2, 3), np.nan)}, {}, "holds NaN or infinite values"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.zeros(5, int)}, {}, r"labels y have shape \(5,\)"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.zeros(3)}, {}, "labels y have shape .* and type float64"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.full(2, np.nan)}, {}, "y holds NaN"),
        ({"x": np.zeros((5, 2, 2, 3))}, {"encode": "rate"}, r"encode takes static data of shape \[B, \*\[2, 3\]\]"),
        ({"x": -np.ones((2, 2, 3))}, {"encode": "rate"}, "values down to -1.0, and values below 0 cannot be encoded"),
        ({"x": np.zeros((0, 2, 2, 3))}, {}, "input 'input' holds 0 steps and 2 samples"),
        ({"x": np.array([["a"]])}, {}, "input 'input' is of type <U1"),
        ({"t": [0], "sample": [0], "unit": [9], "shape": [5, 1, 2, 3]}, {}, "unit of the event list runs from 9 to 9"),
        (
            {"t": [0.5], "unit": [0], "shape": [5, 1, 2, 3]},
            {},
            "t is of type float64, but has to hold whole numbers",
        ),
        ({"t": [0], "unit": [0], "shape": [5, 1, 3, 3]}, {}, "the event list has shape"),
        ({"unit": [0], "shape": [5, 1, 2, 3]}, {}, "this event list is incomplete"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    if "encode" in options:
        options = {"encode": parse_encoding(options["encode"])}
    with pytest.raises(DeployError, match=message):
        load_data(save(tmp_path, **arrays), SHAPE, **options)

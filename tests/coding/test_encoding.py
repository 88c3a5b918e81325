"""Encodings of static values as spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.coding.data_file import load_data
from neurodeploy.coding.encoding import parse_encoding
from neurodeploy.errors import DeployError
from tests.coding.test_data_file import SHAPE, save


def test_rate_coding_is_the_same_for_a_seed(tmp_path: Path, rng: np.random.Generator) -> None:
    path = save(tmp_path, x=rng.random((50, 2, 3)))
    one, two, other = (
        load_data(path, SHAPE, encode=parse_encoding("rate,steps=40"), seed=s).x["input"] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    with np.load(path) as archive:
        np.testing.assert_allclose(one.mean(axis=0), archive["x"] / archive["x"].max(), atol=0.35)


def test_latency_coding_fires_once_and_earlier_for_more(tmp_path: Path) -> None:
    x = load_data(
        save(tmp_path, x=np.array([[[0, 1, 2], [4, 8, 16]]])), SHAPE, encode=parse_encoding("latency,steps=17")
    ).x["input"]
    assert x.shape == (17, 1, 2, 3)
    assert x.sum(axis=0).tolist() == [[[0, 1, 1], [1, 1, 1]]]
    assert x[:, 0, 1, 2].argmax() == 0
    assert x[:, 0, 0, 1].argmax() == 15


@pytest.mark.parametrize("text", ["morse", "rate,steps=0", "rate,steps=x", "rate,volume=3", "latency,scale=-1"])
def test_encodings_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(DeployError, match="encode"):
        parse_encoding(text)

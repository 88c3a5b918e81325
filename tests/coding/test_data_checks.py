"""Data that does not fit the model, or that are no spikes, is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.coding.data_file import load_data
from neurodeploy.coding.encoding import parse_encoding
from neurodeploy.errors import DeployError
from tests.coding.test_data_file import SHAPE, save
from tests.conftest import spikes


def test_bytes_of_0_and_255_are_no_spikes(tmp_path: Path, rng: np.random.Generator) -> None:
    x = (spikes(rng, 7, 4, 2, 3) * 255).astype(np.uint8)
    with pytest.raises(DeployError, match="0 and 255, like the black and white of an image"):
        load_data(save(tmp_path, x=x), SHAPE)
    assert load_data(save(tmp_path, x=x[0]), SHAPE, encode=parse_encoding("rate,steps=5")).n_steps == 5
    x[0, 0, 0, 0] = 7
    np.testing.assert_array_equal(load_data(save(tmp_path, x=x), SHAPE).x["input"], x)


@pytest.mark.parametrize("extent", [(0, 4), (7, 0)])
def test_data_without_steps_or_samples_is_called_so(tmp_path: Path, extent: tuple[int, int]) -> None:
    with pytest.raises(DeployError, match=f"holds {extent[0]} steps and {extent[1]} samples"):
        load_data(save(tmp_path, x=np.zeros((*extent, 2, 3), np.uint8)), SHAPE)


def test_static_data_without_samples_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="input 'input' holds 0 samples"):
        load_data(save(tmp_path, x=np.zeros((0, 2, 3))), SHAPE, encode=parse_encoding("rate,steps=5"))

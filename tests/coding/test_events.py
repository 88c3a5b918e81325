"""Event lists become rasters, with events that meet counted or merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.coding.data_file import DataFile, load_data
from tests.coding.test_data_file import SHAPE, save
from tests.conftest import spikes


def test_event_lists_become_rasters(tmp_path: Path, rng: np.random.Generator) -> None:
    x = spikes(rng, 7, 4, 2, 3)
    t, sample, unit = np.nonzero(x.reshape(7, 4, 6))
    data = load_data(save(tmp_path, t=t, sample=sample, unit=unit, shape=x.shape), SHAPE)
    np.testing.assert_array_equal(data.x["input"], x)


def repeated_events(path: Path, n: int) -> Path:
    """Two cells with events, the second with ``n`` of them."""
    t, unit = np.array([0, *[3] * n]), np.array([5, *[2] * n])
    return save(path, t=t, sample=np.zeros_like(t), unit=unit, shape=(7, 1, 2, 3))


@pytest.mark.parametrize("n", [2, 300])
def test_events_that_repeat_are_counted(tmp_path: Path, n: int) -> None:
    x = load_data(repeated_events(tmp_path, n), SHAPE).x["input"].reshape(7, 6)
    assert (x[0, 5], x[3, 2], x.sum()) == (1, n, n + 1)


def test_events_that_repeat_are_merged_where_that_is_asked(tmp_path: Path) -> None:
    data = DataFile(repeated_events(tmp_path, 4), SHAPE, merge_repeats=True)
    assert data.n_repeats == 3
    assert data.part(0, 1).x["input"].sum() == 2

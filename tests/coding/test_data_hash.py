"""Samples are told apart by their values."""

from __future__ import annotations

import numpy as np

from neurodeploy.coding.data import Data
from neurodeploy.coding.data_hash import shared_samples


def test_samples_are_shared_by_their_values_in_whatever_type(rng: np.random.Generator) -> None:
    real = rng.random((4, 6, 3)) + 0.1
    spiking = (rng.random((4, 6, 3)) < 0.5).astype(np.uint8)

    def data(values: np.ndarray) -> Data:
        return Data({"input": values}, None, "made")

    assert shared_samples(data(real[:, :3]), data(real[:, 3:])) == 0
    assert shared_samples(data(real[:, :3]), data(real[:, 1:])) == 2
    assert shared_samples(data(spiking), data(spiking[:, :2].astype(np.float32))) == 2

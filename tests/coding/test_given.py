"""Data as it is given in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.coding.given import given_samples
from neurodeploy.errors import DeployError


@pytest.mark.parametrize(
    "given",
    [
        {"x": np.ones((4, 2, 3), np.uint8), "y": np.ones(2, int)},
        (np.ones((4, 2, 3), np.uint8), np.ones(2, int)),
        [[1, 0], [1]],
        None,
        np.ones(3),
        np.full((4, 2, 3), "a"),
    ],
)
def test_what_is_no_input_is_refused_by_name(given: Any) -> None:
    with pytest.raises(DeployError, match=r"the data holds inputs x, y|the data for input 'input' is a"):
        given_samples(given, {"input": (3,)})
    assert given_samples([[[1, 0, 1]]], {"input": (3,)}).n_samples == 1

"""Accuracies and what they can be told apart by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from neurodeploy.coding.scoring import mcnemar


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(lost: int, gained: int, both: int) -> None:
    one = np.array([True] * lost + [False] * gained + [True] * both, bool)
    other = np.array([False] * lost + [True] * gained + [True] * both, bool)
    found = mcnemar(one, other)
    assert (found["lost"], found["gained"]) == (lost, gained)
    expected = binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert found["p"] == pytest.approx(expected)

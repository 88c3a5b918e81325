"""Codes of biases and leaks, in numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.loihi.registers import bias_codes, is_on_grid, leaks, missed, other_leaks, settled_bias
from tests.families.loihi.quantise.worked import FORMATS, neuron


def coded(dv: list[int], du: int = 4095, threshold: int = 64, model: NeuronModel | None = None) -> LoihiPopulation:
    n = len(dv)
    full = {"du": du, "threshold_code": threshold, "bias_mantissa": 0, "u_init": 0, "v_init": 0}
    codes: dict[str, Any] = {key: np.full(n, value) for key, value in full.items()}
    return LoihiPopulation(
        "n", (n,), dv=np.array(dv), bias_exponent=0, latency=0, unit=1.0, model=model or NeuronModel(), **codes
    )


@pytest.mark.parametrize(
    ("bias", "mantissa", "exponent"),
    [
        ([0, 0], [0, 0], 0),
        ([4095, -3], [4095, -3], 0),
        ([4096, -3], [2048, -2], 1),
        ([-16384, 101], [-2048, 13], 3),
        ([4095 * 128, 0], [4095, 0], 7),
    ],
)
def test_biases_have_the_smallest_exponent_at_which_all_fit(
    bias: list[int], mantissa: list[int], exponent: int
) -> None:
    found, common = bias_codes(np.array(bias), FORMATS)
    assert (found.tolist(), common) == (mantissa, exponent)


def test_truncation_counts_as_a_leak_of_half_a_unit_at_half_the_threshold() -> None:
    found = leaks(neuron(2, keep_mem=0.9), coded([410, 0]))
    assert set(found) == {"v"}
    np.testing.assert_allclose(found["v"][0], [409.6, 409.6])
    np.testing.assert_allclose(found["v"][1], [410 + 2048 / 2048, 0])
    exact, here = leaks(neuron(1, keep_syn=0.5), coded([0], du=2047))["u"]
    assert (exact.tolist(), here.tolist()) == ([2048], [2048 + 1])
    lasting = leaks(neuron(1, keep_mem=0.9), coded([410], model=NeuronModel(fires=False)))["v"]
    assert lasting[1].tolist() == [410]


def test_a_leak_is_missed_by_more_than_a_tenth_of_it() -> None:
    exact = np.array([100.0, 100, 100, 100, 5e-4, 2e-3])
    here = np.array([110.0, 110.1, 90, 89.9, 1, 1])
    assert missed((exact, here)).tolist() == [False, True, False, True, False, True]


def test_the_other_leak_lies_on_the_other_side_of_the_models() -> None:
    slow = neuron(3, keep_mem=1 - np.array([0.5, 1.5, 400]) / 4096)
    found = other_leaks(slow, coded([0, 2, 400], threshold=100_000))
    assert found is not None
    assert found.tolist() == [1, 1, 400]
    assert other_leaks(neuron(1, keep_mem=0.9), coded([410], threshold=100_000)) is None


def test_a_constant_input_settles_where_its_current_leaks_as_much() -> None:
    assert settled_bias(np.array([100, -100, 100]), np.array([4095, 1023, 0])).tolist() == [100, -400, 409600]


@pytest.mark.parametrize(
    ("model", "du", "dv", "values", "expected"),
    [
        ({}, 4095, 0, (64, -128), True),
        ({"reset": "none"}, 4095, 0, (64,), True),
        ({"reset": "zero-late"}, 4095, 0, (64,), True),
        ({"reset": "subtract"}, 4095, 0, (64,), False),
        ({"max_spikes": 3}, 4095, 0, (64,), False),
        ({}, 4094, 0, (64,), False),
        ({}, 4095, 1, (64,), False),
        ({"reset_interval": 1}, 4095, 1, (64,), True),
        ({"reset_interval": 2}, 4095, 1, (64,), False),
        ({}, 4095, 0, (64, 32), False),
    ],
)
def test_v_is_whole_where_nothing_decays_but_to_nothing(
    model: dict[str, Any], du: int, dv: int, values: tuple[int, ...], expected: bool
) -> None:
    given = tuple(np.array([0, value]) for value in values)
    codes = np.array([4095, du]), np.array([0, dv])
    assert is_on_grid(NeuronModel(**model), *codes, given, {}) == expected
    assert not is_on_grid(NeuronModel(**model), *codes, given, {"v_min": np.array([0, 0])})

"""How far weights drive neurons, and how many codes a volt registers hold, in numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.families.loihi.quantise.gains import filling_gains, gains_of_rows
from neurodeploy.families.loihi.scale import (
    base_scale,
    held_exponent,
    highest_potential,
    is_out_of_reach,
    most_codes_per_volt,
    rising_of_neurons,
    unit_exponent,
)
from tests.families.loihi.quantise.worked import FORMATS, neuron, synapses

BOTH_SIGNS = [[1.0, -2.0], [3.0, -0.5]]
MEASURED = (np.array([-1.0, 0.0]), np.array([2.0, 1.0]))


@pytest.mark.parametrize(
    ("options", "lowest", "highest"),
    [
        ({}, [-2.0, -0.5], [1.0, 3.0]),
        ({"payload": (-1, 2)}, [-5.0, -4.0], [4.0, 6.5]),
        ({"measured": MEASURED}, [-1.0, 0.0], [1.0, 1.0]),
    ],
)
def test_a_steps_input_is_bounded_by_weights_payloads_and_data(
    options: dict[str, Any], lowest: list[float], highest: list[float]
) -> None:
    found = synapses(BOTH_SIGNS, **options)
    low, high = found.swings(2)
    assert (low.tolist(), high.tolist()) == (lowest, highest)
    of_all = (-1.0, 2.0) if "measured" in options else (min(lowest), max(highest))
    assert found.swing() == of_all


def test_synapses_in_other_volts_are_measured_in_them_too() -> None:
    found = synapses(BOTH_SIGNS, measured=MEASURED).times(np.array([2.0, 4.0]), (2,))
    np.testing.assert_array_equal(found.folded.weight, [[2, -4], [12, -2]])
    assert found.measured is not None
    assert [side.tolist() for side in found.measured] == [[-2, 0], [4, 4]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 3.0),
        ({"bias": 0.5}, 3.5),
        ({"bias": -0.5}, 3.0 - 0.0),
        ({"keep_mem": 0.5}, 6.0),
        ({"keep_syn": 0.75}, 12.0),
        ({"keep_syn": 0.75, "keep_mem": 0.5, "bias": 1.0}, 26.0),
        ({"v_init": 0.25}, 3.25),
        ({"v_init": -0.25}, 3.0),
        ({"u_init": 0.5, "keep_syn": 0.75}, 14.0),
        ({"keep_second": 0.75}, (3.0 + 0.5) * 4),
        ({"keep_mem": 1.0}, np.inf),
    ],
)
def test_the_highest_potential_is_what_the_most_input_settles_at(values: dict[str, float], expected: float) -> None:
    found = highest_potential(neuron(2, **values), (synapses(BOTH_SIGNS),))
    assert found[1] == pytest.approx(expected)


def test_a_threshold_is_out_of_reach_where_no_neuron_can_meet_it() -> None:
    into = (synapses([[1.0], [1.0]]),)
    assert is_out_of_reach(neuron(2, keep_mem=0.5, threshold=2.01), into)
    assert not is_out_of_reach(neuron(2, keep_mem=0.5, threshold=2.0), into)
    assert is_out_of_reach(neuron(2, keep_mem=1.0, threshold=4097), into)  # the chip counts no leak below 1 in 4096
    assert not is_out_of_reach(neuron(2, keep_mem=1.0, threshold=4095), into)
    assert not is_out_of_reach(neuron(2, NeuronModel(fires=False), threshold=9), into)


def test_data_says_how_far_a_neuron_gets_in_a_step_from_its_threshold() -> None:
    values = {"keep_syn": 0.75, "bias": -0.5, "adapt_keep": 0.5, "adapt_rise": 0.25}
    found = rising_of_neurons(neuron(2, **values), (synapses(BOTH_SIGNS, measured=MEASURED),))
    assert found is not None
    np.testing.assert_allclose(found, [2 * 4 + 0.5 + 1 + 0.5, 1 * 4 + 0.5 + 1 + 0.5])
    assert rising_of_neurons(neuron(2), (synapses(BOTH_SIGNS),)) is None


def test_the_base_scale_fills_codes_with_weights_or_else_with_what_there_is() -> None:
    assert base_scale(neuron(), [200.0, 100.0, np.inf]) == 100.0
    assert base_scale(neuron(threshold=2.0), [np.inf]) == 512.0
    assert base_scale(neuron(model=NeuronModel(fires=False), bias=-4.0, v_init=0.5), []) == 256.0
    assert base_scale(neuron(model=NeuronModel(fires=False)), []) == 1024.0


def test_threshold_and_bias_bound_the_unit() -> None:
    assert held_exponent(64.0, neuron(), FORMATS) == pytest.approx(np.log2(131071 / 64))
    assert held_exponent(64.0, neuron(bias=-3.0), FORMATS) == pytest.approx(np.log2(4095 * 128 / (3 * 64 * 64)))
    assert held_exponent(64.0, neuron(threshold=0.0), FORMATS) == np.inf


@pytest.mark.parametrize(
    ("values", "model", "expected"),
    [
        ({}, {}, 10),  # u or v reaches 2 V: 2 * 64 * 64 * 2^10 is the register's end
        ({"keep_mem": 0.75}, {}, 9),  # 4 V below 0
        ({"keep_mem": 0.75, "v_min": -0.5}, {}, 10),
        ({"keep_mem": 0.75, "v_min": -3.0}, {}, 9),
        ({"keep_syn": 0.75}, {}, 8),  # 4 V from inputs, 1 V of threshold
        ({"keep_syn": 0.5, "keep_second": 0.5}, {}, 8),  # 2 V of each current
        ({"keep_mem": 1 - 2.0**-10}, {}, 4),  # a threshold of 1024 codes comes before what only saturates
        ({"threshold": 0.0, "v_init": 1.0}, {"fires": False}, 9),  # the last threshold code is out of reach
        ({"threshold": 0.0, "keep_mem": 0.75}, {"fires": False}, 8),
        ({"adapt_keep": 0.5, "adapt_rise": 1.0}, {}, 9),
        ({"bias": 3.0}, {}, 5),
    ],
)
def test_the_unit_is_as_fine_as_registers_hold(values: dict[str, float], model: dict[str, Any], expected: int) -> None:
    into = (synapses([[1.0, -1.0]]),)
    found = unit_exponent(64.0, neuron(1, NeuronModel(**model), **values), into, 0.0, FORMATS, "n")
    assert found == expected
    coarse = {**FORMATS, "weight_exponent_max": 3}
    assert unit_exponent(64.0, neuron(1, NeuronModel(**model), **values), into, 0.0, coarse, "n") == 3


def test_graded_weights_fill_their_codes_before_what_only_saturates() -> None:
    slow = neuron(keep_mem=1 - 2.0**-10)
    assert unit_exponent(64.0, slow, (synapses([[1.0, -1.0]]),), 64 * 2.0**6, FORMATS, "n") == 6


def test_a_threshold_that_dwarfs_its_weights_is_refused() -> None:
    into = (synapses([[1.0]]),)
    assert unit_exponent(128.0, neuron(threshold=2.0**19), into, 0.0, FORMATS, "n") == -10
    with pytest.raises(
        DeployError,
        match=r"'n' has a threshold of 1\.049e\+06 V or a bias of 0 V that is far too",
    ):
        unit_exponent(128.0, neuron(threshold=2.0**20), into, 0.0, FORMATS, "n")


def test_most_codes_a_volt_are_what_a_register_has_for_what_rises() -> None:
    into = (synapses([[1.0, -3.0]]),)
    assert most_codes_per_volt(neuron(), into, FORMATS, "n") == pytest.approx((2**23 - 64) / (4 * 64))
    assert most_codes_per_volt(neuron(threshold=8.0), into, FORMATS, "n") == pytest.approx((2**23 - 64) / (11 * 64))
    assert most_codes_per_volt(neuron(bias=100.0), into, FORMATS, "n") == pytest.approx(4095 * 128 / (100 * 64))


def test_channels_are_stretched_until_codes_or_registers_are_full() -> None:
    into = (synapses([[1.0, 0.5], [0.125, -0.0625], [0.0, 0.0]]),)
    found = filling_gains(neuron(3), into, (3,), FORMATS, "n")
    assert found is not None
    assert found.tolist() == [1, 8, 1]
    narrow = {**FORMATS, "threshold_bits": 12}
    found = filling_gains(neuron(3), into, (3,), narrow, "n")
    assert found is not None
    np.testing.assert_allclose(found, [1, 0.9 * 4095 / 1024, 1], rtol=1e-6)
    assert filling_gains(neuron(3), (synapses(np.zeros((3, 1))),), (3,), FORMATS, "n") is None
    assert gains_of_rows([1, 2], 6).tolist() == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("key", "most"), [("bias", 4095 * 128 / 64), ("v_init", 2**17), ("u_init", 2**17), ("adapt_rise", 2**17)]
)
def test_a_channel_is_stretched_no_further_than_any_of_its_registers(key: str, most: float) -> None:
    into = (synapses([[1.0], [0.001]]),)
    values = {key: 100.0, "threshold": 1e-6, **({"adapt_keep": 0.0} if key == "adapt_rise" else {})}
    found = filling_gains(neuron(2, **values), into, (2,), {**FORMATS, "weight_exponent_max": 0}, "n")
    assert found is not None
    np.testing.assert_allclose(found, [1, max(1, 0.9 * most / (100 * 256))], rtol=1e-5)

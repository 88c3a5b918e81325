from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons
from neurodeploy.families.xylo.limits import faults, violations
from tests.families.xylo.chips import CHIPS


def neurons(n: int, n_synapses: int) -> XyloNeurons:
    return XyloNeurons(np.full((n_synapses, n), 3), np.full(n, 4), np.full(n, 100), np.zeros(n, int))


def network(n_in: int, n: int, n_out: int, n_synapses: int = 1) -> XyloCodes:
    """Inputs reach the first hidden neuron, the last one reaches the outputs, and none another hidden one."""
    weight_in, weight_out = np.zeros((n_in, n_synapses, n), int), np.zeros((n, 1, n_out), int)
    weight_in[:, :, 0], weight_out[-1] = 1, 1
    return XyloCodes(
        weight_in, np.zeros((n, n_synapses, n), int), weight_out, 2, 2, 2,
        neurons(n, n_synapses), neurons(n_out, 1), np.full(n, -1),
    )  # fmt: skip


def found(codes: XyloCodes, chip: str) -> dict[str, tuple[int, int]]:
    return {violation.what: (violation.used, violation.available) for violation in violations(codes, CHIPS[chip])}


@pytest.mark.parametrize(
    ("chip", "hidden", "outputs", "synapses"),
    [("xylo-audio2", 1000, 8, 2), ("xylo-audio3", 992, 32, 2), ("xylo-imu", 496, 16, 1)],
)
def test_configuration_at_the_limits_fits_and_one_more_does_not(
    chip: str, hidden: int, outputs: int, synapses: int
) -> None:
    assert faults(network(16, hidden, outputs, synapses), CHIPS[chip]) == []
    assert found(network(17, hidden + 1, outputs + 1, synapses), chip) == {
        "input channels": (17, 16),
        "hidden neurons": (hidden + 1, hidden),
        "outputs": (outputs + 1, outputs),
    }


def test_second_synapse_does_not_fit_the_imu() -> None:
    assert found(network(2, 3, 2, 2), "xylo-imu") == {"synapses of a hidden neuron": (2, 1)}


@pytest.mark.parametrize(("chip", "most"), [("xylo-audio2", 1000), ("xylo-audio3", 128), ("xylo-imu", 128)])
def test_input_and_outputs_reach_a_part_of_the_hidden_neurons(chip: str, most: int) -> None:
    codes = network(2, CHIPS[chip].hidden, 2)
    weight_in, weight_out = codes.weight_in.copy(), codes.weight_out.copy()
    weight_in[0, 0, most - 1], weight_out[-most, 0, 1] = -1, -1
    assert found(replace(codes, weight_in=weight_in, weight_out=weight_out), chip) == {}
    if most < codes.hidden.size:
        weight_in[0, 0, most], weight_out[-most - 1, 0, 1] = -1, -1
        assert found(replace(codes, weight_in=weight_in, weight_out=weight_out), chip) == {
            "hidden neurons from the first to the last one with input": (most + 1, most),
            "hidden neurons from the first one to the last that feeds an output": (most + 1, most),
        }


def test_recurrent_weights_share_a_memory() -> None:
    small, large = network(2, 128, 2), network(2, 500, 2)
    assert found(replace(small, weight_rec=np.ones((128, 1, 128), int)), "xylo-audio3") == {}
    assert found(replace(large, weight_rec=np.ones((500, 1, 500), int)), "xylo-audio3") == {
        "recurrent weights of synapse 0": (250_000, 31_744)
    }


@pytest.mark.parametrize(("chip", "most"), [("xylo-audio2", 64), ("xylo-imu", 512)])
def test_fan_out_of_a_neuron_is_limited(chip: str, most: int) -> None:
    codes = network(2, 600, 2)
    weight = np.zeros((600, 1, 600), int)
    weight[7, 0, :most] = 5
    assert f"fan-out of hidden neuron {7}" not in found(replace(codes, weight_rec=weight), chip)
    weight[7, 0, most] = 5
    assert found(replace(codes, weight_rec=weight), chip)["fan-out of hidden neuron 7"] == (most + 1, most)


def test_fan_out_counts_both_synapses() -> None:
    codes = network(2, 100, 2, 2)
    weight = np.zeros((100, 2, 100), int)
    weight[3, :, :33] = 1
    assert found(replace(codes, weight_rec=weight), "xylo-audio2") == {"fan-out of hidden neuron 3": (66, 64)}


def test_codes_without_a_meaning_are_named_all_at_once() -> None:
    codes = network(17, 20, 2)
    low = codes.hidden.threshold_code.copy()
    low[:2] = 0, -5
    bad = replace(codes, shift_rec=8, version=1, hidden=replace(codes.hidden, threshold_code=low))
    assert faults(bad, CHIPS["xylo-audio2"]) == [
        "input channels: 17 used, 16 available",
        "the configuration is of version 1, but Xylo Audio 2 (SYNS61201) is of version 2",
        "shift_rec is 8, but it must be 0 to 7, or weights leave 16 bits",
        "hidden neurons: the threshold of 2 of 20 is 0 or less, as low as -5; it must be above 0",
    ]

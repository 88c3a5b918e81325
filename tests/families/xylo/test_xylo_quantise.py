from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo import definition
from neurodeploy.families.xylo.quantise import Quantised, quantise
from tests.families.xylo.chips import CHIPS
from tests.families.xylo.networks import chain, data, reference

CHIP = CHIPS["xylo-audio3"]


def output_counts(found: Quantised, inputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    run = definition.run(found.layout.codes, found.layout.counts(inputs))
    return found.layout.rows(run, name)["spikes"].sum(axis=0, dtype=np.int64)


def test_decays_that_shifts_meet_are_kept_and_counts_hardly_change() -> None:
    network = chain((6, 12, 4), dash_syn=2, dash_mem=4)
    inputs = data(network, n_samples=40)
    found = quantise(network, CHIP, reference(network, inputs))
    for population in found.populations:
        assert (set(population.dash_syn.tolist()), set(population.dash_mem.tolist())) == ({2}, {4})
    wanted = reference(network, inputs).sent["layer1"].sum(axis=0, dtype=np.int64)
    assert wanted.mean() > 2
    assert np.abs(output_counts(found, inputs, "layer1") - wanted).mean() < 0.1


def test_a_plan_that_is_given_back_reproduces_all_codes() -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    first = quantise(network, CHIP, reference(network, data(network, n_samples=30)))
    again = quantise(network, CHIP, None, first.plan)
    for one, other in zip(first.populations, again.populations, strict=True):
        for key, codes in one.arrays().items():
            np.testing.assert_array_equal(codes, other.arrays()[key])
    for a, b in zip(first.projections, again.projections, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        assert a.exponent == b.exponent
    assert first.plan == again.plan


def test_all_limits_that_are_violated_are_said_at_once() -> None:
    network = chain((20, 1001, 9), dash_syn=2, dash_mem=4)
    with pytest.raises(DeployError, match=r"(?s)input channels: 20 used, 16.*hidden neurons: 1,001 used.*outputs: 9"):
        quantise(network, CHIPS["xylo-audio2"])

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError, LackingError
from neurodeploy.families.xylo import definition, kernel
from neurodeploy.families.xylo.approximate import approximate
from neurodeploy.families.xylo.losses import NO_DATA
from neurodeploy.families.xylo.plan import XyloPlan, XyloPopulationPlan
from neurodeploy.families.xylo.quantise import Quantised, quantise
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.run_options import RunOptions
from tests.families.xylo.chips import CHIPS
from tests.families.xylo.networks import NETWORKS, chain, data, reference

CHIP = CHIPS["xylo-audio3"]
ROCKPOOL = Path(__file__).parents[2] / "golden" / "frameworks" / "rockpool-lif-bias.nir"


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


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("with_data", [True, False])
def test_definition_and_kernel_run_quantised_networks_alike(kind: str, with_data: bool) -> None:
    network = NETWORKS[kind]()
    inputs = data(network)
    codes = quantise(network, CHIP, reference(network, inputs) if with_data else None).layout
    counts = codes.counts(inputs)
    assert not definition.run(codes.codes, counts).differences(kernel.run(codes.codes, counts))


@pytest.mark.parametrize("kind", NETWORKS)
def test_counts_are_met_on_data_that_nothing_was_fitted_to(kind: str) -> None:
    network = NETWORKS[kind]()
    inputs, others = data(network, n_samples=40), data(network, n_samples=20, seed=6)
    found = quantise(network, CHIP, reference(network, inputs))
    run = kernel.run(found.layout.codes, found.layout.counts(others))
    for name, sent in reference(network, others).sent.items():
        if name not in network.inputs:
            wanted = sent.sum(axis=0, dtype=np.int64)
            counts = found.layout.rows(run, name)["spikes"].sum(axis=0, dtype=np.int64)
            assert wanted.mean() > 2
            assert np.abs(counts - wanted).mean() < 0.05 * wanted.mean()


def test_quantising_twice_gives_the_same() -> None:
    network = NETWORKS["recurrent"]()
    one, other = (quantise(network, CHIP, reference(network, data(network))) for _ in range(2))
    assert one.plan == other.plan
    assert one.losses == other.losses


def test_plan_may_give_a_part_and_leaves_the_rest_to_be_decided() -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    spikes = reference(network, data(network))
    layer = XyloPopulationPlan(dash_mem=[5] * 12)
    found = quantise(network, CHIP, spikes, XyloPlan({"out": 2}, {"layer0": layer}))
    assert found.plan.populations["layer0"].dash_mem == [5] * 12
    assert found.plan.shifts["out"] == 2
    assert found.plan.populations["layer1"].threshold is not None


def test_thresholds_are_fitted_to_shifts_that_are_given() -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    inputs = data(network, n_samples=30)
    spikes, layer = reference(network, inputs), XyloPopulationPlan(dash_syn=[2] * 12)
    found = quantise(network, CHIP, spikes, XyloPlan({}, {"layer0": layer}))
    wanted = spikes.sent["layer0"].sum(axis=0, dtype=np.int64)
    assert np.abs(output_counts(found, inputs, "layer0") - wanted).mean() < 0.05 * wanted.mean()


def test_network_that_is_far_too_large_is_refused_before_its_matrices_are_made() -> None:
    network = chain((6, 4))
    first = Population("p", (1_000_000,), network.populations[0].rule, np.float32(0.9), np.float32(1), np.float32(0.9))
    huge = Network({"input": (6,)}, (first,), (), ("p",), 1e-3, "test")
    with pytest.raises(DeployError, match=r"by far: outputs: 1,000,000 used, 32 available"):
        quantise(huge, CHIP)


def test_v_of_an_integrator_is_read_in_its_unit() -> None:
    network = NETWORKS["integrator"]()
    inputs = data(network)
    found = quantise(network, CHIP, reference(network, inputs))
    rows = found.layout.rows(kernel.run(found.layout.codes, found.layout.counts(inputs)), "layer1")
    read = rows["v"] / next(p.units for p in found.populations if p.name == "layer1")
    value = Reference().run(network, inputs, RunOptions()).nodes["layer1"]["value"]
    assert not rows["spikes"].any()
    assert np.abs(read - value).max() < 0.1 * np.abs(value).max()


def test_network_of_rockpool_is_read_from_its_file_and_quantised() -> None:
    network = read_network(ROCKPOOL)[0]
    inputs = data(network, n_samples=40, rate=0.1)
    wanted = reference(network, inputs)
    found = quantise(network, CHIP, wanted)
    counts = output_counts(found, inputs, network.outputs[0])
    expected = wanted.sent[network.outputs[0]].sum(axis=0, dtype=np.int64)
    assert expected.mean() > 3
    assert np.abs(counts - expected).mean() < 0.3 * expected.mean()


def _bias(network: Network) -> Network:
    last = network.populations[-1]
    return replace(network, populations=(*network.populations[:-1], replace(last, bias=np.float32(0.02))))


def _single(network: Network) -> Network:
    first = network.populations[0]
    rule = replace(first.rule, max_spikes=1)
    return replace(network, populations=(replace(first, rule=rule), *network.populations[1:]))


def _varied(network: Network) -> Network:
    first = replace(network.populations[0], decay_syn=np.linspace(0.8, 0.86, 12))
    return replace(network, populations=(first, *network.populations[1:]))


def _leakless(network: Network) -> Network:
    first = replace(network.populations[0], decay_mem=np.float32(1))
    return approximate(replace(network, populations=(first, *network.populations[1:])))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: n, r"layer0: of \d+ of 12 neurons the current keeps 0.9 and v 0.95 in a step, .* \(dash_syn \d\)"),
        (_varied, r"layer0: no shifts are the decays of 12 of 12 neurons, so that \S+ % .* on average"),
        (lambda n: n, r"layer1: on calibration data counts of a sample and neuron differ by 0\.\d+ on average"),
        (_bias, "layer1: its bias acts 1 step before the model's first"),
        (_single, r"layer0 sends at most 1 in a step, and the chip's hidden neuron 31; .* matters \d+ times"),
        (_leakless, r"layer0: v of 12 of 12 neurons loses 1 register unit a step.* up to \S+ % of the threshold"),
        (lambda n: replace(n, outputs=("layer0",)), "layer0 is read, but lies in the hidden layer"),
    ],
)
def test_losses_are_named(change: Callable[[Network], Network], said: str) -> None:
    network = change(chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95))
    losses = quantise(network, CHIP, reference(network, data(network, rate=0.7))).losses
    assert any(re.search(said, loss) for loss in losses), losses


def test_decays_that_shifts_meet_lose_nothing() -> None:
    assert quantise(chain((6, 12, 4)), CHIP).losses == (NO_DATA,)


def test_registers_that_saturate_are_said() -> None:
    network = chain((6, 12, 4))
    plan = XyloPlan({"in": 7}, {"layer0": XyloPopulationPlan(units=[40000.0] * 12)})
    losses = quantise(network, CHIP, reference(network, data(network)), plan).losses
    assert any(re.search(r"layer0: registers of \d+ of 12 neurons reach their ends", loss) for loss in losses)


def test_network_that_xylo_does_not_compute_is_refused() -> None:
    network = chain((6, 4))
    first = replace(network.populations[0], decay_syn=None)
    with pytest.raises(LackingError, match="no synaptic current"):
        quantise(replace(network, populations=(first,)), CHIP)


def test_weights_that_a_plan_clips_are_said() -> None:
    network = chain((6, 8, 4))
    found = quantise(network, CHIP)
    name = network.populations[0].name
    units = [1000.0 * unit for unit in found.plan.populations[name].units or ()]
    plan = XyloPlan(found.plan.shifts, {name: XyloPopulationPlan(units=units)})
    (said,) = (one for one in quantise(network, CHIP, plan=plan).losses if "are clipped" in one)
    assert said.startswith(f"input -> {name}: ")
    assert not any("are clipped" in one for one in found.losses)

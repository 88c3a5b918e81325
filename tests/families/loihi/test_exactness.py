"""A rule's integer neuron computes what the float rule computes, wherever whole numbers can say so exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.lava.process_names import process_of
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI
from neurodeploy.families.loihi.overflow import custom_neurons
from neurodeploy.families.loihi.program import program_faults
from neurodeploy.families.loihi.quantise.approximate import approximate
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear

ZERO = NeuronRule()
SUBTRACT = NeuronRule(reset="subtract")
LATE = NeuronRule(reset="subtract", reset_delay=True)

Values = dict[str, dict[str, np.ndarray]]


def whole_weights(rng: np.random.Generator, n_out: int, n_in: int) -> np.ndarray:
    """Return whole weights from -60 to 127, so that eight bits hold each exactly."""
    weight = rng.integers(-60, 120, (n_out, n_in)).astype(np.float32)
    weight[0, 0] = 127
    return weight


def two_layers(rule: NeuronRule, decay: float = 1.0, **parameters: Any) -> Network:
    """Return 12 neurons of a rule behind 8 inputs, and 6 plain ones behind them; without leak unless told otherwise."""
    rng = np.random.default_rng(5)
    first = Population("a", (12,), rule, np.float32(decay), np.float32(300), **parameters)
    second = Population("b", (6,), ZERO, np.float32(decay), np.float32(200))
    projections = (
        Projection("in", "a", (Linear(whole_weights(rng, 12, 8)),)),
        Projection("a", "b", (Linear(whole_weights(rng, 6, 12)),)),
    )
    return Network({"in": (8,)}, (first, second), projections, ("b",), 1e-3, "snntorch")


def readout(decay: float = 1.0, **parameters: Any) -> Network:
    """Return the first layer of :func:`two_layers` as integrators that are read."""
    network = two_layers(NeuronRule(fires=False), decay, **parameters)
    return replace(network, populations=network.populations[:1], projections=network.projections[:1], outputs=("a",))


def random_input(share: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(1).random((40, 5, 8)) < share).astype(np.uint8)


def run_both(network: Network, x: np.ndarray, **options: Any) -> tuple[Values, Values, Program]:
    """Return spikes (or values) and v of the float reference and of the integers, these as V, and the program."""
    program = compile(network, "loihi2", **options)
    recorded = Reference().run(network, {"in": x.astype(np.float32)}, RunOptions(record=("spikes", "v"))).nodes
    traces = definition.run(program, spike_inputs(program, {"in": x}), LOIHI)
    found: Values = {}
    for population in program.populations:
        rows = slice(population.latency, population.latency + len(x))
        v = traces.v[population.name][rows].reshape(*x.shape[:2], *population.shape) / population.unit
        sent = traces.spikes[population.name][rows].reshape(v.shape) if population.model.fires else v
        found[population.name] = {"spikes" if population.model.fires else "value": sent, "v": v}
    return recorded, found, program


RULES: dict[str, tuple[NeuronRule, dict[str, Any], str]] = {
    "zero": (ZERO, {}, "zero"),
    "another value": (ZERO, {"v_reset": 50.0, "v_init": 50.0}, "zero"),
    "late value": (replace(ZERO, reset_delay=True), {}, "zero"),
    "late value that drops input": (replace(ZERO, reset_delay=True, reset_drops_input=True), {}, "zero-late"),
    "pending reset to a value": (replace(ZERO, reset_pending=True), {}, "zero"),
    "subtract": (SUBTRACT, {}, "subtract"),
    "late subtract": (LATE, {}, "subtract-late"),
    "late subtract before decay": (replace(LATE, reset_before_decay=True), {}, "subtract"),
    "bias": (SUBTRACT, {"bias": 3.0}, "subtract"),
    "counts, subtract": (replace(SUBTRACT, max_spikes=None), {}, "subtract"),
    "counts, pending": (replace(SUBTRACT, max_spikes=None, reset_pending=True), {}, "subtract"),
    "counts, late subtract": (replace(LATE, max_spikes=None), {}, "subtract-late"),
    "up to two, late before decay": (replace(LATE, max_spikes=2, reset_before_decay=True), {}, "subtract"),
    "counts, zero": (replace(ZERO, max_spikes=3), {}, "zero"),
    "refractory": (ZERO, {"refractory": 2}, "zero"),
    "refractory, another value": (ZERO, {"refractory": 3, "v_reset": 20.0}, "zero"),
    "refractory, subtract": (SUBTRACT, {"refractory": 2}, "subtract"),
    "floor": (SUBTRACT, {"v_min": -40.0}, "subtract"),
    "floor and another value": (ZERO, {"v_min": -40.0, "v_reset": 10.0}, "zero"),
    "adaptive": (ZERO, {"adapt_decay": 0.5, "adapt_gain": 64.0}, "zero"),
    "adaptive, subtract": (SUBTRACT, {"adapt_decay": 0.75, "adapt_gain": 64.0}, "subtract"),
    "adaptive, late": (LATE, {"adapt_decay": 0.5, "adapt_gain": 128.0}, "subtract-late"),
    "adaptive, counts": (replace(SUBTRACT, max_spikes=None), {"adapt_decay": 0.5, "adapt_gain": 64.0}, "subtract"),
    "adaptive before the test": (
        replace(ZERO, adapt_order="decay-test-add"),
        {"adapt_decay": 0.5, "adapt_rate": 0.5, "adapt_gain": 64.0},
        "zero",
    ),
    "adaptive at its own rate": (SUBTRACT, {"adapt_decay": 0.5, "adapt_rate": 0.25, "adapt_gain": 64.0}, "subtract"),
    "spikes lower v": (replace(ZERO, adapts="v"), {"adapt_decay": 0.5, "adapt_gain": 64.0}, "zero"),
    "input a step late": (replace(SUBTRACT, order="use-decay-add"), {"decay_syn": np.float32(0.0)}, "subtract"),
    "currents cleared": (replace(ZERO, reset_currents=True), {"decay_syn": np.float32(0.5)}, "zero"),
    "none": (replace(ZERO, reset="none"), {}, "none"),
    "subtract, pending": (replace(SUBTRACT, reset_pending=True), {}, "subtract-pending"),
    "up to two, pending": (replace(SUBTRACT, max_spikes=2, reset_pending=True), {}, "subtract-pending"),
}  # fmt: skip
RULES |= {
    f"{name}, >=": (replace(RULES[name][0], spike=">="), *RULES[name][1:])
    for name in ("zero", "another value", "late value that drops input", "subtract", "late subtract", "bias",
                 "counts, subtract", "counts, zero", "refractory, subtract", "floor", "adaptive, subtract", "none",
                 "subtract, pending")
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_whole_numbers_give_the_references_spikes_exactly(name: str) -> None:
    rule, parameters, reset = RULES[name]
    reference, integers, program = run_both(two_layers(rule, **parameters), random_input())
    assert program.population("a").model.reset == reset
    assert not program_faults(program)
    for node in ("a", "b"):
        assert reference[node]["spikes"].any()
        np.testing.assert_array_equal(integers[node]["spikes"], reference[node]["spikes"], err_msg=node)


@pytest.mark.parametrize("name", RULES)
def test_whole_numbers_give_the_references_spikes_exactly_in_a_loop(name: str) -> None:
    rule, parameters, _ = RULES[name]
    network = two_layers(rule, **parameters)
    loop = Projection("a", "a", (Linear(whole_weights(np.random.default_rng(9), 12, 12) / 2),), 1)
    reference, integers, _ = run_both(replace(network, projections=(*network.projections, loop)), random_input())
    np.testing.assert_array_equal(integers["a"]["spikes"], reference["a"]["spikes"])


@pytest.mark.parametrize("name", ["zero", "subtract", "late subtract", "counts, subtract", "refractory", "floor"])
def test_whole_numbers_give_the_references_potential_exactly(name: str) -> None:
    rule, parameters, _ = RULES[name]
    reference, integers, _ = run_both(two_layers(rule, **parameters), random_input())
    np.testing.assert_array_equal(integers["a"]["v"], reference["a"]["v"])


@pytest.mark.parametrize("decay", [3891 / 4096, 0.5, 3000 / 4096])
@pytest.mark.parametrize("name", RULES)
def test_with_a_leak_nearly_all_spikes_agree(name: str, decay: float) -> None:
    rule, parameters, _ = RULES[name]
    reference, integers, _ = run_both(two_layers(rule, decay, **parameters), random_input(0.6))
    for node in ("a", "b"):
        assert np.mean(integers[node]["spikes"] != reference[node]["spikes"]) < 0.005, node


@settings(max_examples=60, deadline=None)
@given(
    reset=st.sampled_from(["value", "subtract"]),
    late=st.booleans(),
    drops=st.booleans(),
    before=st.booleans(),
    most=st.sampled_from([1, 2, None]),
    refractory=st.integers(0, 3),
    floor=st.sampled_from([None, 0.0, -75.0]),
    bias=st.integers(-10, 10),
    syn=st.booleans(),
)
def test_every_mix_of_rules_is_exact_or_refused(
    reset: str, late: bool, drops: bool, before: bool, most: int | None, refractory: int, floor: float | None,
    bias: int, syn: bool,
) -> None:  # fmt: skip
    rule = NeuronRule(
        reset=reset, reset_delay=late, reset_drops_input=drops, reset_before_decay=before, max_spikes=most
    )
    decay_syn = np.float32(0.0) if syn else None
    network = two_layers(rule, refractory=refractory, v_min=floor, bias=float(bias), decay_syn=decay_syn)
    # A threshold that is lost before the decay, and a reset to a value in the same step, is no form of the chip.
    if reset == "value" and before:
        with pytest.raises(DeployError, match="loses its threshold as well"):
            compile(network, "loihi2")
        return
    reference, integers, _ = run_both(network, random_input()[:20])
    for node in ("a", "b"):
        np.testing.assert_array_equal(integers[node]["spikes"], reference[node]["spikes"])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("per_neuron", [False, True])
def test_a_flattened_convolution_fires_as_its_model(per_neuron: bool, per_channel: bool) -> None:
    rng = np.random.default_rng(3)
    conv = Conv2d(rng.integers(-32, 64, (3, 2, 2, 2)).astype(np.float32))
    conv = replace(conv, weight=np.concatenate([conv.weight[:2], np.full((1, 2, 2, 2), 127, np.float32)]))
    gain = np.float32(2.0) ** rng.integers(-1, 2, 27) if per_neuron else np.float32(1.0)
    population = Population("a", (27,), SUBTRACT, np.float32(1.0), np.float32(256), gain_mem=gain)
    network = Network(
        {"in": (2, 4, 4)}, (population,), (Projection("in", "a", (conv, Flatten())),), ("a",), 1e-3, "nir"
    )
    x = (rng.random((30, 3, 2, 4, 4)) < 0.3).astype(np.uint8)
    program = compile(network, "loihi2", per_channel=per_channel)
    assert program.projections[0].is_conv is not per_neuron
    reference = Reference().run(network, {"in": x.astype(np.float32)}, RunOptions()).spikes("a")
    differing = np.mean(Emulator().run(program, {"in": x}, RunOptions()).spikes("a") != reference)
    assert differing < 0.03 if per_channel or per_neuron else differing == 0


TWO_CURRENTS = {"decay_syn": np.float32(0.5), "decay_second": 0.25, "gain_second": -1.0}


def biased(network: Network) -> Network:
    """Return a network whose first synapses have biases of 0 and of both signs."""
    first = network.projections[0]
    op = Linear(network_weight(first), np.arange(-12, 12, 2).astype(np.float32))
    return replace(network, projections=(replace(first, ops=(op,)), *network.projections[1:]))


@pytest.mark.parametrize(
    ("rule", "parameters", "has_source"),
    [
        (ZERO, TWO_CURRENTS, True),
        (ZERO, TWO_CURRENTS | {"i_init": 64.0}, True),
        (replace(ZERO, reset_currents=True), {"decay_syn": np.float32(0.5)}, True),
        (replace(ZERO, reset_currents=True), TWO_CURRENTS, True),
        (replace(ZERO, reset_delay=True, reset_currents=True), TWO_CURRENTS, True),
        (replace(ZERO, reset_delay=True, reset_drops_input=True, reset_currents=True), TWO_CURRENTS, True),
        (replace(LATE, reset_currents=True), TWO_CURRENTS, True),
        (ZERO, {"decay_syn": np.float32(0.5), "i_init": 32.0}, False),
        (replace(ZERO, order="use-decay-add"), {"decay_syn": np.float32(0.5)}, False),
        (replace(ZERO, order="add-use-decay"), {"decay_syn": np.float32(0.5), "i_init": 32.0}, False),
    ],
)
def test_a_bias_of_currents_acts_as_in_the_model(
    rule: NeuronRule, parameters: dict[str, Any], has_source: bool
) -> None:
    network = biased(two_layers(rule, **parameters))
    back = Projection("b", "a", (Linear(whole_weights(np.random.default_rng(2), 12, 6)),), 1)
    for own in (network, replace(network, projections=(*network.projections, replace(back, delay=2)))):
        reference, integers, program = run_both(own, random_input())
        assert any(p.helps for p in program.populations) == has_source
        for node in ("a", "b"):
            assert reference[node]["spikes"].any()
            np.testing.assert_array_equal(integers[node]["spikes"], reference[node]["spikes"], err_msg=node)


@pytest.mark.parametrize("order", ["decay-add", "add-decay", "add-use-decay", "use-decay-add"])
def test_a_deep_layers_bias_enters_its_current_when_its_model_says_so(order: str) -> None:
    network = two_layers(ZERO)
    first, second = network.projections
    op = Linear(network_weight(second), np.array([-60, 20, 40, 80, 120, 250], np.float32))
    deep = replace(network.populations[1], rule=replace(ZERO, order=order), decay_mem=0.0, decay_syn=0.5)
    network = replace(network, populations=(network.populations[0], deep))
    reference, integers, program = run_both(
        replace(network, projections=(first, replace(second, ops=(op,)))), random_input()
    )
    assert any(p.helps for p in program.populations)
    np.testing.assert_array_equal(integers["b"]["spikes"], reference["b"]["spikes"])


def test_an_order_of_currents_delays_nothing_where_there_are_none() -> None:
    network = two_layers(replace(ZERO, order="use-decay-add"))
    reference, integers, _ = run_both(network, random_input())
    np.testing.assert_array_equal(integers["b"]["spikes"], reference["b"]["spikes"])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("clears", [False, True])
def test_a_second_current_takes_the_input_with_the_other_sign(late: bool, clears: bool) -> None:
    rule = replace(SUBTRACT, reset_delay=late, reset_currents=clears)
    network = two_layers(rule, 0.0, decay_syn=np.float32(0.85), decay_second=np.float32(0.75), gain_second=-1.0)
    network = replace(network, populations=(replace(network.populations[0], gain_mem=4.0), *network.populations[1:]))
    biased = Linear(network_weight(network.projections[0]), np.linspace(-9, 30, 12).astype(np.float32))
    network = replace(network, projections=(replace(network.projections[0], ops=(biased,)), network.projections[1]))
    reference, integers, program = run_both(network, random_input())
    assert program.population("a").du_second is not None
    assert reference["a"]["spikes"].mean() > 0.02
    assert np.mean(integers["a"]["spikes"] != reference["a"]["spikes"]) < 0.01


@pytest.mark.parametrize("order", ["decay-add", "add-decay", "add-use-decay", "use-decay-add"])
def test_a_current_starts_where_its_model_does_in_every_order(order: str) -> None:
    rule = NeuronRule(fires=False, reset="none", order=order)
    network = two_layers(rule, 0.75, decay_syn=np.float32(0.5), i_init=64.0)
    biased = replace(network.projections[0], ops=(Linear(network_weight(network.projections[0]), np.full(12, 20.0)),))
    network = replace(network, populations=network.populations[:1], projections=(biased,), outputs=("a",))
    reference, integers, _ = run_both(network, random_input())
    assert np.abs(integers["a"]["value"] - reference["a"]["value"]).max() < 1.0


def meeting(rule: NeuronRule, decay: float = 1.0, **parameters: Any) -> Network:
    """Return :func:`two_layers` with weights and thresholds of which all are multiples of one, so that v meets them."""
    network = two_layers(rule, decay, **parameters)
    rng = np.random.default_rng(8)

    def even(projection: Projection) -> Projection:
        weight = 127 * rng.choice([-1, 0, 1], network_weight(projection).shape, p=[0.2, 0.3, 0.5])
        return replace(projection, ops=(Linear(weight.astype(np.float32)),))

    populations = tuple(replace(p, threshold=np.float32(254), rule=rule) for p in network.populations)
    return replace(network, populations=populations, projections=tuple(map(even, network.projections)))


def network_weight(projection: Projection) -> np.ndarray:
    (op,) = projection.ops
    assert isinstance(op, Linear)
    return op.weight


MEETING = {name: RULES[name] for name in RULES if name.endswith(">=") and name not in ("bias, >=", "another value, >=")}


@pytest.mark.parametrize("name", MEETING)
def test_neurons_fire_where_v_meets_the_threshold(name: str) -> None:
    rule, parameters, _ = MEETING[name]
    strict = Reference().run(meeting(replace(rule, spike=">"), **parameters), {"in": random_input()}, RunOptions())
    reference, integers, _ = run_both(meeting(rule, **parameters), random_input())
    assert (reference["a"]["spikes"] != strict.spikes("a")).any()
    for node in ("a", "b"):
        np.testing.assert_array_equal(integers[node]["spikes"], reference[node]["spikes"], err_msg=node)


def test_where_v_is_whole_a_met_threshold_is_a_code_less_on_any_chip() -> None:
    network = meeting(replace(ZERO, spike=">="))
    for target in ("loihi1", "loihi2"):
        program = compile(network, target)
        assert [process_of(p) for p in program.populations] == ["LIF", "LIF"]
        assert (program.populations[0].threshold_code == 1023).all()


def test_a_leak_lets_loihi2_meet_its_threshold_and_loihi1_miss_a_64th() -> None:
    network = meeting(replace(ZERO, spike=">="), decay=0.5)
    reference, integers, program = run_both(network, random_input())
    np.testing.assert_array_equal(integers["a"]["spikes"], reference["a"]["spikes"])
    assert program.population("a").model.spike == ">="
    one = compile(network, "loihi1")
    assert process_of(one.population("a")) == "LIF"
    assert any(warning.startswith("a: fires at v > threshold, where the model") for warning in one.warnings)


def test_integrators_give_their_potential_exactly() -> None:
    reference, integers, program = run_both(readout(bias=2.0, v_init=5.0), random_input())
    assert program.population("a").model.fires is False
    assert process_of(program.population("a")) == "LIF"
    assert (program.population("a").threshold_code == 131071).all()
    np.testing.assert_array_equal(integers["a"]["value"], reference["a"]["value"])


@pytest.mark.parametrize(("decay", "threshold"), [(1.0, 1e30), (1.0, 1e8), (0.5, 1e5), (0.5, 3000.0)])
def test_neurons_whose_threshold_is_out_of_reach_integrate(decay: float, threshold: float) -> None:
    network = two_layers(SUBTRACT, decay, bias=2.0)
    alone = replace(network.populations[0], threshold=np.float32(threshold))
    network = replace(network, populations=(alone,), projections=network.projections[:1], outputs=("a",))
    reference, integers, program = run_both(network, random_input())
    assert program.provenance["never_fire"] == ["a"]
    assert process_of(program.population("a")) == "LIF"
    assert any(warning.startswith("a: no input brings v to its threshold") for warning in program.warnings)
    assert not integers["a"]["spikes"].any()
    largest = np.abs(reference["a"]["v"]).max()
    assert np.abs(integers["a"]["v"] - reference["a"]["v"]).max() <= 0.002 * largest


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_leaky_integrators_are_close_to_their_model(decay: float) -> None:
    reference, integers, _ = run_both(readout(decay, decay_syn=np.float32(0.8)), random_input())
    largest = np.abs(reference["a"]["value"]).max()
    assert np.abs(integers["a"]["value"] - reference["a"]["value"]).max() < 0.002 * largest


def test_an_integrator_that_can_reach_its_registers_end_is_said() -> None:
    program = compile(readout(0.9999), "loihi2")
    assert any("in 12 of 12 neurons v can reach the end of its register" in warning for warning in program.warnings)
    assert not compile(readout(0.5), "loihi2").warnings


def test_custom_neurons_are_named_in_the_warnings() -> None:
    network = two_layers(replace(LATE, max_spikes=None), refractory=2, v_min=-40.0)
    program = compile(network, "loihi2")
    needs = (
        "reset by subtraction in the next step, count of any number of spikes a step, refractory period of 2 steps,"
        " lower bound of its potential"
    )
    assert custom_neurons(program) == {"a": needs}
    assert any(w.startswith(f"a: custom neuron ({needs}): simulator only;") for w in program.warnings)
    assert [p.message_bits for p in program.projections] == [0, 24]


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        (SUBTRACT, {}, "needs a reset by subtraction, which Intel Loihi does not have"),
        (replace(ZERO, reset="none"), {}, "needs a potential that no spike resets, which"),
        (replace(SUBTRACT, reset_pending=True), {}, "needs a second reset in the next step where v is still above"),
        (LATE, {}, "needs a reset by subtraction in the next step, which"),
        (replace(ZERO, reset_delay=True, reset_drops_input=True), {}, "a reset that drops the next step's input"),
        (replace(ZERO, max_spikes=None), {}, "needs a count of any number of spikes a step, which"),
        (replace(SUBTRACT, max_spikes=2), {}, "reset by subtraction and a count of up to 2 spikes a step"),
        (ZERO, {"v_min": -1.0}, "needs a lower bound of its potential, which"),
        (ZERO, {"adapt_decay": 0.9}, "needs an adaptive threshold, which"),
    ],
)
def test_loihi1_refuses_programmed_neurons_and_names_loihi2(
    rule: NeuronRule, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeployError, match=message) as refusal:
        compile(two_layers(rule, **parameters), "loihi1")
    assert "Compile for target loihi2; or train without it" in str(refusal.value)


def test_loihi1_has_refractory_periods_up_to_its_register() -> None:
    assert compile(two_layers(ZERO, refractory=62), "loihi1").population("a").model.refractory == 62
    with pytest.raises(DeployError, match="needs a refractory period of 63 steps") as refusal:
        compile(two_layers(ZERO, refractory=63), "loihi1")
    assert "Train without it" in str(refusal.value)


def test_integrators_run_on_both_chips() -> None:
    assert compile(readout(), "loihi1").population("a").model.fires is False


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        (replace(ZERO, output_delay=1), {}, "'a' sends its spikes a step late, which no target computes exactly"),
        (NeuronRule(fires=False), {}, "'a' sends its potential to other neurons"),
        (
            replace(SUBTRACT, reset_pending=True),
            {"adapt_decay": 0.5},
            "'a' adapts and is reset again in the next step",
        ),
        (replace(ZERO, max_spikes=None), {"v_reset": 20.0}, "'a' counts spikes from a reset other than 0"),
        (SUBTRACT, {"refractory": 1, "v_reset": 20.0}, "'a' subtracts its threshold and is held at another value"),
        (
            replace(LATE, reset_before_decay=True),
            {"adapt_decay": 0.5},
            "'a' loses its threshold without what it adapted by",
        ),
        (ZERO, {"adapt_decay": 0.5, "adapt_gain": -1.0}, "'a' has a threshold that spikes lower"),
        (ZERO, {"v_min": 10.0}, "'a' has a lower bound of its potential above its reset"),
        (ZERO, {"decay_syn": np.float32(1.5)}, "'a' has decays outside 0 to 1"),
        (replace(ZERO, reset_pending=True), {"v_init": 400.0}, "'a' starts above its threshold"),
        (
            replace(ZERO, order="use-decay-add", reset_currents=True),
            {"decay_syn": np.float32(0.5)},
            "'a' clears synaptic currents that its v sees a step late",
        ),
        (
            replace(ZERO, order="use-decay-add"),
            {"decay_syn": np.float32(0.0), "i_init": 1.0},
            "have a synaptic current that keeps nothing from step to step",
        ),
    ],
)
def test_what_no_integer_neuron_computes_exactly_is_refused(
    rule: NeuronRule, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeployError, match=message):
        compile(two_layers(rule, **parameters), "loihi2")


def test_all_that_cannot_be_exact_is_refused_at_once_and_each_remedy_said_once() -> None:
    rule = replace(SUBTRACT, output_delay=1)
    with pytest.raises(DeployError) as refusal:
        compile(two_layers(rule, 1.5, v_min=10.0, refractory=1, v_reset=20.0), "loihi2")
    assert refusal.value.what == (
        "'a' has decays outside 0 to 1 and sends its spikes a step late and subtracts its threshold and is held at"
        " another value than 0 and has a lower bound of its potential above its reset, which no target computes exactly"
    )
    assert refusal.value.fix == "Train without it. Train with v_reset = 0. Train with a bound at the reset or below."


def test_all_that_only_the_reference_knows_is_refused_at_once() -> None:
    with pytest.raises(
        DeployError, match="'a' rounds its spikes to the nearest count and sends negative spikes, which"
    ):
        compile(two_layers(replace(SUBTRACT, rounds=True, signed=True)), "loihi2")


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [
        (ZERO, {"v_reset": 20.0}),
        (replace(SUBTRACT, max_spikes=None), {"v_reset": 20.0}),
        (SUBTRACT, {"v_reset": 20.0}),
        (SUBTRACT, {"refractory": 1}),
        (replace(LATE, reset_before_decay=True, adapts="v"), {"adapt_decay": 0.5}),
        (LATE, {"adapt_decay": 0.5}),
        (replace(SUBTRACT, reset_before_decay=True), {"adapt_decay": 0.5}),
        (ZERO, {"adapt_decay": 0.5, "adapt_gain": 0.0}),
        (ZERO, {"v_min": 0.0}),
        (ZERO, {"v_min": 10.0, "v_reset": 10.0}),
        (ZERO, {"decay_syn": np.float32(1.0)}),
        (replace(ZERO, reset_pending=True), {"v_init": 300.0}),
        (replace(ZERO, reset_pending=True, reset_delay=True), {"v_init": 400.0}),
        (replace(ZERO, order="add-decay", reset_currents=True), {"decay_syn": np.float32(0.5)}),
    ],
)
def test_what_is_just_within_is_not_refused(rule: NeuronRule, parameters: dict[str, Any]) -> None:
    assert compile(two_layers(rule, **parameters), "loihi2").population("a").size == 12


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        (ZERO, {"decay_syn": np.float32(0.5), "decay_second": 0.2}, "has two synaptic currents"),
        (replace(SUBTRACT, rounds=True), {}, "rounds its spikes"),
        (replace(SUBTRACT, signed=True), {}, "sends negative spikes"),
    ],
)
def test_what_only_the_reference_knows_is_refused_by_name(
    rule: NeuronRule, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeployError, match=f"'a' {message}"):
        compile(two_layers(rule, **parameters), "loihi2")


def test_a_potential_with_a_floor_is_refused() -> None:
    with pytest.raises(DeployError, match="'a' sends a potential that has a lower bound"):
        compile(readout(v_min=-1.0), "loihi2")


@pytest.mark.parametrize(
    ("parameters", "rule", "said"),
    [
        ({"v_min": -1.0}, ZERO, ("no lower bound of its potential",)),
        ({"adapt_decay": 0.5}, ZERO, ("no adaptation",)),
        (
            {"v_min": -1.0},
            replace(SUBTRACT, spike=">=", max_spikes=None),
            (
                "reset by subtraction becomes reset to zero",
                "counts of any number of spikes become single spikes",
                "no lower bound of its potential",
            ),
        ),
        ({}, replace(ZERO, reset="none"), ("no reset becomes reset to zero",)),
    ],
)
def test_loihi1_approximates_by_the_least_that_it_takes(
    parameters: dict[str, Any], rule: NeuronRule, said: tuple[str, ...]
) -> None:
    nearest, changes = approximate(two_layers(rule, **parameters), load_target("loihi1"))
    assert [(change.node, change.changes) for change in changes] == [("a", said)]
    assert process_of(compile(nearest, "loihi1").population("a")) == "LIF"


def test_what_counted_before_it_was_approximated_calibrates_as_single_spikes() -> None:
    network = two_layers(replace(SUBTRACT, max_spikes=None), 0.5, v_min=-40.0)
    data = Data({"in": random_input()}, None, "calibration")
    program = compile(network, "loihi1", approximate=True, calibrate=data, correct=("threshold",))
    assert set(program.provenance["approximations"]["changes"]) == {"a"}


def test_a_threshold_that_loihi1_cannot_meet_is_measured_with_what_else_was_approximated() -> None:
    data = Data({"in": random_input()}, None, "calibration")
    network = two_layers(replace(SUBTRACT, spike=">="), 0.5)
    alone = two_layers(replace(ZERO, spike=">="), 0.5)
    strict = "fires at v > instead of v >= threshold"
    program = compile(alone, "loihi1", calibrate=data)
    assert program.provenance["approximations"]["changes"] == {"a": [strict]}
    assert program.provenance["approximations"]["agreement"]["a"] > 0.9
    program = compile(network, "loihi1", approximate=True, calibrate=data)
    said = ["reset by subtraction becomes reset to zero", strict]
    assert program.provenance["approximations"]["changes"] == {"a": said}


def test_binary_neurons_at_zero_tell_signs_apart(rng: np.random.Generator) -> None:
    rule, size = NeuronRule(reset="none"), 10
    population = Population("a", (size,), rule, decay_mem=np.zeros(size), threshold=np.zeros(size))
    weight = rng.integers(-7, 8, (size, 20)).astype(np.float32)
    network = Network(
        {"input": (20,)}, (population,), (Projection("input", "a", (Linear(weight),)),), ("a",), 1.0, "nir"
    )
    x = {"input": (rng.random((12, 4, 20)) < 0.3).astype(np.uint8)}
    program = compile(network, "loihi2")
    assert not program.populations[0].threshold_code.any()
    assert not [text for text in program.warnings if "thresholds round" in text]
    spikes = Emulator().run(program, x, RunOptions()).spikes("a")
    np.testing.assert_array_equal(spikes, Reference().run(network, x, RunOptions()).spikes("a"))
    assert 0 < spikes.mean() < 1

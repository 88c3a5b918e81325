"""Helping populations: what they add to a program, and that the model's own then run as the model does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.program import program_faults
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear

SIZE = 8
SUBTRACT = NeuronRule(reset="subtract", spike=">=")


def layer(rng: np.random.Generator, bias: int = 0) -> Linear:
    """Return whole weights of which eight bits hold each exactly, and biases of up to so much."""
    weight = rng.integers(-60, 120, (SIZE, SIZE)).astype(np.float32)
    weight[0, 0] = 127
    return Linear(weight, rng.integers(-bias, bias + 1, SIZE).astype(np.float32) if bias else None)


def deep(decay: float = 1.0, rule: NeuronRule = SUBTRACT, n_layers: int = 6) -> Network:
    """Return layers with biases beyond their thresholds."""
    rng = np.random.default_rng(4)
    names = [f"l{i}" for i in range(n_layers)]
    populations = [Population(name, (SIZE,), rule, np.float32(decay), np.float32(150)) for name in names]
    pairs = zip(["in", *names], names, strict=False)
    projections = [Projection(source, target, (layer(rng, 200),)) for source, target in pairs]
    return Network({"in": (SIZE,)}, tuple(populations), tuple(projections), (names[-1],), 1e-3, "nir")


def skipping(steps: int, rule: NeuronRule = SUBTRACT) -> Network:
    """Return two layers, and a way round both that takes so many steps."""
    rng = np.random.default_rng(7)
    populations = tuple(Population(name, (SIZE,), rule, np.float32(1.0), np.float32(150)) for name in ("a", "b"))
    projections = (
        Projection("in", "a", (layer(rng),)),
        Projection("a", "b", (layer(rng),)),
        Projection("a", "b", (layer(rng),), steps),
    )
    return Network({"in": (SIZE,)}, populations, projections, ("b",), 1e-3, "nir")


def spikes(n_steps: int) -> np.ndarray:
    return (np.random.default_rng(1).random((n_steps, 5, SIZE)) < 0.3).astype(np.uint8)


def assert_as_the_model(network: Network, program: Program, n_steps: int) -> None:
    x = spikes(n_steps)
    reference = Reference().run(network, {"in": x.astype(np.float32)}, RunOptions())
    emulated = Emulator().run(program, {"in": x}, RunOptions())
    assert set(emulated.nodes) == set(reference.nodes)
    for node in reference.nodes:
        assert reference.spikes(node).any()
        np.testing.assert_array_equal(emulated.spikes(node), reference.spikes(node), err_msg=node)


@pytest.mark.parametrize("decay", [1.0, 0.0])
@pytest.mark.parametrize("rule", [SUBTRACT, NeuronRule(), NeuronRule(reset="none")])
def test_a_deep_layers_bias_acts_from_its_own_first_row_on(rule: NeuronRule, decay: float) -> None:
    network = deep(decay, rule)
    program = compile(network, "loihi2")
    assert [p.name for p in program.populations if p.helps] == ["bias source"]
    assert program.nodes == tuple(p.name for p in network.populations)
    assert not any("do not start as the model" in warning for warning in program.warnings)
    assert any(warning.startswith("bias source: 1 neuron that the model does not have") for warning in program.warnings)
    assert_as_the_model(network, program, 4)


def test_the_synapses_of_a_bias_are_as_narrow_as_the_target_has_them(tmp_path: Path) -> None:
    (tmp_path / "narrow.toml").write_text('extends = "loihi2"\nnumber_formats.weight_bits_max = 4\n')
    program = compile(deep(), tmp_path / "narrow.toml", weight_bits=4)
    late = [p for p in program.projections if p.source == "bias source"]
    assert late
    assert {p.weight_bits for p in late} == {4}
    assert program_faults(program) == []


def test_a_leaky_layer_starts_as_its_model(tmp_path: object) -> None:
    network = deep(0.5)
    x = spikes(4)
    first = {"in": x[:1].astype(np.float32)}
    program = compile(network, "loihi2")
    reference, emulated = (
        Reference().run(network, first, RunOptions()),
        Emulator().run(program, {"in": x[:1]}, RunOptions()),
    )
    for node in reference.nodes:
        np.testing.assert_array_equal(emulated.spikes(node)[0], reference.spikes(node)[0], err_msg=node)


def test_biases_that_initial_codes_make_up_for_need_no_source() -> None:
    network = deep()
    small = [replace(p, ops=(replace(p.ops[0], bias=np.full(SIZE, -3.0)),)) for p in network.projections]  # type: ignore[type-var]
    program = compile(replace(network, projections=tuple(small)), "loihi2")
    assert program.nodes == tuple(p.name for p in program.populations)


def test_the_plan_gives_the_same_source_again() -> None:
    once = compile_with_plan(deep(), "loihi2")
    again = compile(deep(), "loihi2", plan=once.plan)
    for one, other in zip(once.program.projections, again.projections, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
    for a, b in zip(once.program.populations, again.populations, strict=True):
        np.testing.assert_array_equal(a.bias_mantissa, b.bias_mantissa)


@pytest.mark.parametrize("steps", [62, 63, 64, 126, 127, 200])
def test_what_takes_longer_than_a_connection_is_relayed(steps: int) -> None:
    network = skipping(steps)
    program = compile(network, "loihi2")
    assert sum(bool(p.helps) for p in program.populations) == steps // 63
    assert not program_faults(program)
    assert max(p.delay for p in program.projections) <= 63
    assert_as_the_model(network, program, steps + 20)


def test_counts_are_relayed_and_payloads_that_can_be_negative_are_not() -> None:
    counting = skipping(70, replace(SUBTRACT, max_spikes=None))
    program = compile(counting, "loihi2")
    assert [p.message_bits for p in program.projections if p.source.startswith("a")] == [24, 24, 24]
    assert_as_the_model(counting, program, 100)
    slow = replace(counting, projections=(replace(counting.projections[0], delay=70), *counting.projections[1:]))
    with pytest.raises(DeployError, match="in -> a would need a delay of 69 steps, but what in sends can be below 0"):
        compile(slow, "loihi2", message_bits=8)


def test_what_a_population_helps_with_is_kept_in_the_file(tmp_path: object) -> None:
    path = tmp_path / "p.npz"  # type: ignore[operator]
    program = compile(skipping(70), "loihi2")
    save_program(program, path)
    assert [p.helps for p in load_program(path).populations] == [p.helps for p in program.populations]


@pytest.mark.parametrize("order", ["decay-add", "add-decay", "add-use-decay"])
def test_a_bias_enters_the_current_from_the_first_row_on(order: str) -> None:
    network = deep(0.5, replace(SUBTRACT, order=order))
    populations = tuple(replace(p, decay_syn=np.float32(0.75)) for p in network.populations)
    network = replace(network, populations=populations)
    x, options = spikes(1), RunOptions(record=("spikes", "v"))
    program = compile(network, "loihi2")
    assert not any("do not start as the model" in warning for warning in program.warnings)
    reference = Reference().run(network, {"in": x.astype(np.float32)}, options)
    emulated = Emulator().run(program, {"in": x}, options)
    for node in reference.nodes:
        assert (emulated.spikes(node) != reference.spikes(node)).mean() < (0.05 if order == "add-decay" else 1e-9)
    first = emulated.nodes["l0"]["v"][0] / program.population("l0").unit
    assert np.abs(first - reference.nodes["l0"]["v"][0]).max() < 2.0

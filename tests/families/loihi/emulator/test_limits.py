"""What the emulator refuses, what it runs that is empty, and what it always records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import ARITHMETICS
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Shape

ALL = RunOptions(record=("spikes", "u", "v"), raw_time=True)


def population(name: str, shape: Shape, **codes: Any) -> LoihiPopulation:
    plain = {"du": 4095, "dv": 0, "threshold_code": 10, "bias_mantissa": 0, "bias_exponent": 0}
    rest = {"u_init": 0, "v_init": 0, "latency": 0, "unit": 1.0}
    return LoihiPopulation(name, shape, **{**plain, **rest, **codes})


def dense(source: str, target: str, n_out: int, n_in: int, **other: Any) -> CodedProjection:
    rest = {"exponent": 0, "weight_bits": 8, "sign_mode": "mixed", "delay": 1, **other}
    return CodedProjection(source, target, np.full((n_out, n_in), 20), **rest)


def program(n_in: int, populations: list[LoihiPopulation], projections: list[CodedProjection]) -> Program:
    return Program("loihi2", "lava", {"in": (n_in,)}, tuple(populations), tuple(projections), (), 1e-3, "nir", {})


def one_neuron(**codes: Any) -> Program:
    return program(1, [population("a", (1,), **codes)], [dense("in", "a", 1, 1)])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"du": 50_000}, "a: du is 50000 to 50000, but the emulator holds 0 to 4095"),
        ({"dv": -1}, "a: dv is -1"),
        ({"threshold_code": 2**26}, "a: threshold_code is 67108864"),
        ({"threshold_code": -5}, "a: threshold_code is -5"),
        ({"threshold_low_code": -(2**26)}, "a: threshold_low_code is -67108864"),
        ({"bias_mantissa": 5, "bias_exponent": 40}, "a: bias_exponent is 40"),
        ({"bias_mantissa": 5, "bias_exponent": -2}, "a: bias_exponent is -2"),
        ({"bias_mantissa": 5, "bias_exponent": 30}, "a: bias is 5368709120"),
        ({"bias_exponent": 1.5}, "a: bias_exponent is 1.5"),
        ({"v_init": 2**30}, "a: v_init is 1073741824"),
        ({"u_init": -(2**31)}, "a: u_init is -2147483648"),
        ({"latency": -1}, "a: latency is -1"),
        ({"adapt_decay": 0, "adapt_step": -100_000}, "a: adapt_step is -100000"),
    ],
)
def test_numbers_that_the_tables_cannot_hold_are_refused(codes: dict[str, Any], message: str) -> None:
    faulty = one_neuron(**codes)
    for _ in range(2):
        with pytest.raises(DeployError, match=message):
            Emulator().run(faulty, {"in": np.ones((3, 2, 1), np.uint8)}, ALL)


def test_all_that_cannot_be_held_is_named_at_once() -> None:
    faulty = program(1, [population("a", (1,), du=5000, v_init=2**30)], [dense("in", "a", 1, 1, exponent=40)])
    with pytest.raises(DeployError) as caught:
        Emulator().run(faulty, {"in": np.ones((3, 2, 1), np.uint8)}, ALL)
    for fault in (
        "a: du is 5000",
        "a: v_init is",
        "in -> a: exponent is 40, but it must be a whole",
    ):
        assert fault in caught.value.what


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize(
    "codes",
    [
        {"bias_mantissa": 2**30},
        {"bias_mantissa": -1, "bias_exponent": 31},
        {"threshold_code": 2**25 - 1},
        {"threshold_code": 0, "v_init": 9, "model": NeuronModel(reset="subtract", max_spikes=None)},
        {"threshold_low_code": -(2**25), "adapt_decay": 0, "adapt_step": 2**23 - 1},
    ],
)
def test_what_no_register_holds_runs_as_in_the_twin_within_the_limits(codes: dict[str, Any], arithmetic: str) -> None:
    assert_equal_to_the_twin(one_neuron(**codes), np.ones((300, 1, 1), np.uint8), arithmetic)


def test_a_raised_threshold_never_leaves_its_register() -> None:
    # Each step sends -1 and lowers the threshold, which nothing brings back.
    codes = {"adapt_decay": 0, "adapt_step": 2**23 - 1, "threshold_low_code": 0, "threshold_code": 2**17 - 1}
    falling = one_neuron(**codes, bias_mantissa=-4096)
    assert_equal_to_the_twin(falling, np.zeros((600, 1, 1), np.uint8), "lava")


@pytest.mark.parametrize(
    "empty",
    [
        program(1, [], []),
        program(0, [], []),
        program(0, [population("a", (0,))], []),
        program(1, [population("a", (2,), bias_mantissa=300)], []),
        program(0, [population("a", (2,))], [dense("in", "a", 2, 0)]),
        program(1, [population("a", (0,)), population("b", (1,))], [dense("in", "b", 1, 1), dense("in", "a", 0, 1)]),
        program(1, [population("a", (1,)), population("b", (0,))], [dense("in", "a", 1, 1), dense("a", "b", 0, 1)]),
    ],
)
def test_programs_of_nothing_run_as_in_the_twin(empty: Program) -> None:
    assert_equal_to_the_twin(empty, np.ones((3, 2, *empty.inputs["in"]), np.uint8), "lava")


def test_graded_input_of_no_neurons_runs() -> None:
    none = replace(program(0, [population("a", (1,))], []), message_bits={"in": 8})
    recording = Emulator().run(none, {"in": np.zeros((3, 2, 0))}, ALL)
    assert not recording.nodes["a"]["v"].any()


@pytest.mark.parametrize("max_spikes", [1, 3])
def test_a_node_that_does_not_fire_always_records_its_value(max_spikes: int) -> None:
    silent = one_neuron(model=NeuronModel(fires=False, reset="subtract", max_spikes=max_spikes))
    x = {"in": np.ones((5, 1, 1), np.uint8)}
    recording = Emulator().run(silent, x, RunOptions(record=("v",)))
    assert set(recording.nodes["a"]) == {"value", "v"}
    np.testing.assert_array_equal(recording.nodes["a"]["value"], recording.nodes["a"]["v"])
    assert set(Emulator().run(silent, x, RunOptions(record=("u",))).nodes["a"]) == {"value", "u"}
    assert recording.counters["spikes"].sum() == 0


def assert_equal_to_the_twin(subject: Program, x: np.ndarray, arithmetic: str) -> None:
    recording = Emulator().run(subject, {"in": x}, replace(ALL, arithmetic=arithmetic))
    traces = definition.run(subject, {"in": x.astype(np.int64)}, ARITHMETICS[arithmetic])
    assert set(recording.nodes) == {p.name for p in subject.populations}
    for node, observed in recording.nodes.items():
        for key, values in observed.items():
            expected = getattr(traces, key)[node]
            np.testing.assert_array_equal(values.reshape(expected.shape), expected, err_msg=f"{node} {key}")
    for key, values in recording.counters.items():
        np.testing.assert_array_equal(values, traces.counters[key], err_msg=key)

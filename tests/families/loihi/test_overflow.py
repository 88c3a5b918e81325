"""Where the two arithmetics differ is said, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.compiler import compile
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import ARITHMETICS, LAVA, LOIHI
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.overflow import arithmetic_differences, input_sum_warnings
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv2d, Linear, SynapseOp
from tests.families.loihi.test_exactness import ZERO, two_layers


def many_inputs(op: SynapseOp, shape: tuple[int, ...], threshold: float = 1.0) -> Program:
    """Return 2 neurons, or channels, that all inputs excite at once."""
    out = op.output_shape(shape)
    population = Population("a", out, NeuronRule(), np.float32(0.5), np.float32(threshold), np.float32(0.9))
    network = Network({"in": shape}, (population,), (Projection("in", "a", (op,)),), ("a",), 1e-3, "snntorch")
    return compile(network, "loihi2")


def test_small_networks_have_no_differences() -> None:
    program = compile(two_layers(ZERO, decay=0.9), "loihi2")
    assert arithmetic_differences(program) == ()
    assert not program.warnings


def test_currents_beyond_one_turn_are_named_and_do_differ() -> None:
    program = many_inputs(Linear(np.ones((2, 4000), np.float32)), (4000,))
    named = "a: in 2 of 2 neurons u can leave its 24 bits by more than one turn"
    assert any(named in difference for difference in arithmetic_differences(program))
    assert any(named in warning for warning in program.warnings)
    assert any("u can wrap" in w and "(mostly positive weights of in -> a)" in w for w in program.warnings)
    x = {"in": np.ones((10, 1, 4000), np.uint8)}
    one, other = (definition.run(program, x, arithmetic) for arithmetic in (LAVA, LOIHI))
    assert (one.u["a"] != other.u["a"]).any()


def test_currents_within_one_turn_do_not_differ() -> None:
    program = many_inputs(Linear(np.ones((2, 1000), np.float32)), (1000,))
    assert arithmetic_differences(program) == ()
    x = {"in": np.ones((10, 1, 1000), np.uint8)}
    one, other = (definition.run(program, x, arithmetic) for arithmetic in (LAVA, LOIHI))
    np.testing.assert_array_equal(one.u["a"], other.u["a"])


def test_sums_that_lavas_convolution_does_not_hold_are_named() -> None:
    conv = Conv2d(np.ones((2, 300, 16, 16), np.float32))
    program = many_inputs(conv, (300, 16, 16))
    assert any("sums of this convolution can leave the 24 bits" in d for d in arithmetic_differences(program))
    assert not any(
        "sums of" in d for d in arithmetic_differences(many_inputs(Conv2d(np.ones((2, 3, 4, 4))), (3, 4, 4)))
    )


@pytest.mark.parametrize(("weights", "differs"), [([[4, -8]], False), ([[2, -8]], True)])
def test_negative_exponents_are_named_where_they_do_not_divide(weights: list[list[int]], differs: bool) -> None:
    program = many_inputs(Linear(np.array([[1.0, -1.0]])), (2,))
    projection = replace(program.projections[0], weight=np.array(weights), exponent=-2)
    found = arithmetic_differences(replace(program, projections=(projection,)))
    assert ("in -> a: exponent -2 does not divide the weights" in "".join(found)) == differs


def summing(weights: list[list[int]], exponent: int, target: str = "loihi1") -> Program:
    """Return a program for a target with weights from an input of as many neurons as they have columns."""
    formats = load_target(target).number_formats.values()
    weight = np.array(weights)
    codes = {
        key: np.full(len(weight), value)
        for key, value in {
            "du": 4095, "dv": 4095, "threshold_code": 100, "bias_mantissa": 0, "u_init": 0, "v_init": 0,
        }.items()
    }  # fmt: skip
    a = LoihiPopulation("a", (len(weight),), bias_exponent=0, latency=1, unit=64.0, **codes)
    p = CodedProjection("in", "a", weight, exponent, 8, "mixed", 1)
    return Program(target, "loihi", {"in": weight.shape[1:]}, (a,), (p,), ("a",), 1e-3, "nir", formats)


@pytest.mark.parametrize(
    ("row", "exponent", "beyond"),
    [
        ([128] * 2, 7, True),  # 2 * 128 << 7 is 2**15 weight units, 2**21 register units
        ([128, 126], 7, False),
        ([-128] * 2, 7, False),  # the lowest that the register holds
        ([-128, -128, -2], 7, True),
        ([254] * 100, 0, False),
        ([254] * 130, 0, True),
    ],
)
def test_sums_beyond_loihi1s_register_are_named_and_counted(row: list[int], exponent: int, beyond: bool) -> None:
    program = summing([row, [2] * len(row)], exponent)
    said = input_sum_warnings(program)
    assert len(said) == beyond
    if said:
        sign = "positive" if row[0] > 0 else "negative"
        assert f"a (in 1 of 2 neurons, mostly {sign} weights of in -> a)" in said[0]
    x = {"in": np.ones((5, 2, len(row)), np.uint8)}
    recording = Emulator().run(program, x, RunOptions())
    traces = definition.run(program, {"in": x["in"].astype(np.int64)}, ARITHMETICS["loihi"])
    for counters in (recording.counters, traces.counters):
        assert counters["input_wraps"].sum() == (10 if beyond else 0)
    assert not input_sum_warnings(summing([row], exponent, "loihi2"))
    assert not Emulator().run(summing([row], exponent, "loihi2"), x, RunOptions()).counters["input_wraps"].any()


def test_compiling_for_loihi1_warns_of_sums_that_its_register_does_not_hold() -> None:
    population = Population("a", (4,), NeuronRule(), np.float32(0.9), np.float32(100.0))
    ops = (Linear(np.full((4, 8192), 1.0, np.float32)),)
    network = Network({"in": (8192,)}, (population,), (Projection("in", "a", ops),), ("a",), 1e-3, "nir")
    said = [text for text in compile(network, "loihi1").warnings if "nengo-loihi wraps there" in text]
    assert len(said) == 1
    assert "a (in 4 of 4 neurons, mostly positive weights of in -> a)" in said[0]
    assert not [text for text in compile(network, "loihi2").warnings if "nengo-loihi" in text]

"""Where the two arithmetics part is said, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.arithmetic import LAVA, LOIHI
from neurodeploy.backends.emulator import twin
from neurodeploy.compiler import compile
from neurodeploy.network import Network, Population, Projection
from neurodeploy.program import Program
from neurodeploy.quantise.overflow import arithmetic_differences
from neurodeploy.rule import NeuronRule
from neurodeploy.synapses import Conv2d, Linear, SynapseOp
from tests.quantise.test_rules import ZERO, two_layers


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
    one, other = (twin.run(program, x, arithmetic) for arithmetic in (LAVA, LOIHI))
    assert (one.u["a"] != other.u["a"]).any()


def test_currents_within_one_turn_do_not_differ() -> None:
    program = many_inputs(Linear(np.ones((2, 1000), np.float32)), (1000,))
    assert arithmetic_differences(program) == ()
    x = {"in": np.ones((10, 1, 1000), np.uint8)}
    one, other = (twin.run(program, x, arithmetic) for arithmetic in (LAVA, LOIHI))
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

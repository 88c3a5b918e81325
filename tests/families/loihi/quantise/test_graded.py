"""Graded input: whole-numbered payloads, refused where they do not fit or the chip has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.inputs import payloads
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.ir.network import Network
from neurodeploy.ir.run_options import RunOptions
from tests.families.loihi.test_exactness import ZERO, run_both, two_layers


def graded_input(scale: float) -> np.ndarray:
    """Return multiples of 1 / scale, of both signs."""
    rng = np.random.default_rng(2)
    return (rng.integers(-20, 40, (30, 4, 8)) * (rng.random((30, 4, 8)) < 0.5) / scale).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 4.0, 64.0])
def test_inputs_that_are_multiples_of_the_scale_are_exact(scale: float) -> None:
    network = two_layers(ZERO)
    scaled = [
        replace(p, threshold=np.float32(64 / scale), bias=0.0) if p.name == "a" else p for p in network.populations
    ]
    network = replace(network, populations=tuple(scaled))
    reference, integers, program = run_both(network, graded_input(scale), message_bits=7, input_scale=scale)
    assert program.message_bits == {"in": 7}
    assert program.projections[0].message_bits == 7
    assert program.projections[1].message_bits == 0
    for node in ("a", "b"):
        assert reference[node]["spikes"].any()
        np.testing.assert_array_equal(integers[node]["spikes"], reference[node]["spikes"])


def test_any_currents_come_close() -> None:
    x = np.random.default_rng(4).normal(0, 1, (60, 6, 8)).astype(np.float32)
    network = two_layers(ZERO, decay=0.9)
    reference, integers, _ = run_both(network, x, message_bits=12, input_scale=64)
    assert reference["a"]["spikes"].any()
    assert np.mean(integers["a"]["spikes"] != reference["a"]["spikes"]) < 0.003


def test_a_graded_program_says_its_range_and_comes_back_from_its_file(tmp_path: object) -> None:
    program = compile(two_layers(ZERO), "loihi2", message_bits=8, input_scale=4)
    text = "input 'in' is graded: its values are rounded to multiples of 1/4 and range from -32 to 31.75"
    assert text in program.warnings
    path = tmp_path / "p.npz"  # type: ignore[operator]
    save_program(program, path)
    loaded = load_program(path)
    assert (loaded.message_bits, loaded.input_scale) == ({"in": 8}, {"in": 4.0})


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("loihi1", {"message_bits": 8}, "message_bits is 8, but Intel Loihi takes spikes only"),
        ("loihi2", {"message_bits": 25}, "message_bits is 25; Intel Loihi 2 takes messages of 2 to 24 bits"),
        ("loihi2", {"message_bits": 1}, "message_bits is 1; Intel Loihi 2 takes messages of 2 to 24 bits"),
        ("loihi2", {"message_bits": -8}, "message_bits is -8; Intel Loihi 2 takes messages of 2 to 24 bits"),
        ("loihi2", {"message_bits": 8, "input_scale": 0.0}, "input_scale is 0; it must be above 0"),
        ("loihi2", {"message_bits": 8, "input_scale": float("nan")}, "input_scale is nan; it must be above 0"),
        ("loihi2", {"input_scale": 2.0}, "input_scale is 2, but the inputs are spikes"),
    ],
)
def test_widths_and_scales_that_a_target_has_not_are_refused(
    target: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(DeployError, match=message):
        compile(two_layers(ZERO), target, **options)  # type: ignore[arg-type]


def test_plain_programs_still_refuse_graded_input() -> None:
    program = compile(two_layers(ZERO), "loihi2")
    with pytest.raises(DeployError, match="takes only spikes") as refusal:
        spike_inputs(program, {"in": graded_input(1.0)})
    assert "message_bits" in str(refusal.value)
    assert spike_inputs(program, {"in": np.ones((2, 1, 8))})["in"].dtype == np.uint8


@given(st.integers(2, 24), st.sampled_from([0.5, 1.0, 3.0, 100.0]), st.floats(-1.0, 1.0))
def test_a_payload_is_the_nearest_whole_number(bits: int, scale: float, share: float) -> None:
    value = share * (2 ** (bits - 1) - 1) / scale
    if value and abs(value * scale) <= 0.5:
        return
    found = payloads(np.array([value]), bits, scale, "x")
    assert found.dtype == np.int32
    assert abs(int(found[0]) - value * scale) <= 0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (127.6, "input 'x' holds values of 127.6 to 127.6"),
        (-128.6, "hold only -128 to 127"),
        (np.nan, "holds values of nan"),
        (np.inf, "holds values of inf"),
        (0.2, "which all round to 0 at an input scale of 1"),
    ],
)
def test_values_that_no_payload_holds_are_refused(value: float, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        payloads(np.array([[[value]]]), 8, 1.0, "x")


def test_counts_feed_the_next_layer_as_payloads() -> None:
    network: Network = two_layers(replace(ZERO, reset="subtract", max_spikes=None))
    program = compile(network, "loihi2")
    x = np.ones((20, 1, 8), np.uint8)
    sent = definition.run(program, spike_inputs(program, {"in": x}), LOIHI).spikes["a"]
    expected = Reference().run(network, {"in": x.astype(np.float32)}, RunOptions()).spikes("a")
    assert sent.max() > 1
    np.testing.assert_array_equal(sent[1:21].reshape(expected.shape), expected)

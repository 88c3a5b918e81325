from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons
from tests.families.xylo.configurations import draw


@pytest.fixture
def codes() -> XyloCodes:
    return draw(2).codes


def test_arrays_cannot_be_written_to(codes: XyloCodes) -> None:
    with pytest.raises(ValueError, match="read-only"):
        codes.weight_in[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        codes.hidden.threshold_code[0] = 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weight_in", 128, "weight_in is .* to 128, but it must be -128 to 127"),
        ("weight_rec", -129, "weight_rec is -129 to .*, but it must be -128 to 127"),
        ("weight_out", 0.5, "weight_out is of type float64, but it must be whole numbers"),
        ("alias", -2, "alias is -2 to"),
    ],
)
def test_code_that_no_synapse_holds_is_refused(field: str, value: float, message: str, codes: XyloCodes) -> None:
    changed = np.array(getattr(codes, field), type(value))
    changed.flat[0] = value
    with pytest.raises(ValueError, match=message):
        replace(codes, **{field: changed})


@pytest.mark.parametrize(
    ("field", "value"),
    [("dash_mem", 16), ("dash_mem", -1), ("dash_syn", 16), ("threshold_code", 2**15), ("bias_code", -(2**15) - 1)],
)
def test_code_that_no_register_holds_is_refused(field: str, value: int, codes: XyloCodes) -> None:
    changed = np.array(getattr(codes.hidden, field))
    changed.flat[0] = value
    with pytest.raises(ValueError, match=f"XyloNeurons.{field} is .*{value}.*, but it must be"):
        replace(codes.hidden, **{field: changed})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift_in": 16}, "shift_in is 16 to 16, but it must be 0 to 15"),
        ({"version": 3}, "version is 3, but it must be 1 or 2"),
        ({"version": 1}, "version 1 has no biases"),
        ({"alias": [0]}, r"alias has shape \(1,\)"),
        ({"weight_in": np.zeros((2, 3), int)}, r"must be \(n_in, n_synapses, n_hidden\)"),
    ],
)
def test_what_no_configuration_has_is_refused(change: dict[str, Any], message: str, codes: XyloCodes) -> None:
    with pytest.raises(ValueError, match=message):
        replace(codes, **change)


def test_output_with_two_currents_is_refused(codes: XyloCodes) -> None:
    two = XyloNeurons([[1], [1]], [1], [1], [0])
    with pytest.raises(ValueError, match="an output of Xylo has one"):
        replace(codes, outputs=two, weight_out=np.zeros((codes.hidden.size, 2, 1), int))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((3, 1, 99), int), r"inputs have shape \(3, 1, 99\)"),
        (np.full((3, 1, 1), 256), "inputs is 256 to 256, but it must be 0 to 255"),
        (np.full((3, 1, 1), -1), "inputs is -1 to -1, but it must be 0 to 255"),
    ],
)
def test_inputs_that_no_channel_takes_are_refused(inputs: np.ndarray, message: str, codes: XyloCodes) -> None:
    if inputs.shape[2] == 1:
        inputs = np.repeat(inputs, codes.n_in, axis=2)
    with pytest.raises(ValueError, match=message):
        codes.counts(inputs)

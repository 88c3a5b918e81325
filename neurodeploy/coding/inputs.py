"""Inputs as a program takes them: spikes, or the whole numbers that graded messages carry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.data_checks import check_levels, without_batch
from neurodeploy.errors import DeployError, known
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import Shape


def check_inputs(shapes: dict[str, Shape], inputs: Inputs) -> tuple[int, int]:
    """Return (T, B) of inputs that fit a model's input shapes.

    Raises:
        DeployError: an input is missing, unknown, or of the wrong shape.
    """
    if set(inputs) != set(shapes):
        raise DeployError(
            f"the data holds inputs {known(inputs)}, but the model's inputs are {known(shapes)}",
            where="--input",
            fix="Name each array like the model's input that it is for.",
        )
    extents = set()
    for name, shape in shapes.items():
        values = inputs[name]
        if values.ndim != len(shape) + 2 or values.shape[2:] != shape:
            raise DeployError(
                f"input {name!r} has shape {values.shape}, but the model takes [T, B, *{list(shape)}]",
                where="--input",
                fix=without_batch(values.shape[2:], shape, "MODEL.nir")
                or "Reshape the data; use --batch-first for [B, T, ...] and --encode for static [B, ...].",
            )
        check_levels(values, name, "--input")
        extents.add(values.shape[:2])
    if len(extents) > 1:
        raise DeployError(
            f"the inputs differ in their numbers of steps and samples: {sorted(extents)}",
            where="--input",
            fix="Give all inputs the same number of steps T and of samples B.",
        )
    n_steps, n_samples = extents.pop()
    if not n_steps or not n_samples:
        raise DeployError(
            f"the data holds {n_steps} steps and {n_samples} samples, so there is nothing to run",
            where="--input",
            fix="Give data with at least one step and one sample.",
        )
    return int(n_steps), int(n_samples)


def chip_inputs(program: Program, inputs: Inputs) -> Inputs:
    """Return what enters the chip as the program takes it: uint8 spikes, or int32 payloads where an input is graded.

    Raises:
        DeployError: an input does not fit, is not 0 or 1 throughout, or has values that its payload cannot hold.
    """
    check_inputs(program.inputs, inputs)
    return {name: _spikes_or_payloads(program, name, values) for name, values in inputs.items()}


def _spikes_or_payloads(program: Program, name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name in program.message_bits:
        return payloads(values, program.message_bits[name], program.input_scale.get(name, 1.0), name)
    if not is_binary(values):
        raise DeployError(
            f"input {name!r} holds values other than 0 and 1, but the program for {program.target} takes only spikes",
            where="--input",
            fix="Compile with --calibrate DATA for a target that takes graded input, so that --message-bits and"
            " --input-scale are chosen for such values; or encode it as spikes (--encode rate or latency), or use"
            " --backend reference, which takes currents.",
        )
    return np.ascontiguousarray(values, dtype=np.uint8)


def payloads(values: NDArray[Any], message_bits: int, scale: float, name: str) -> NDArray[np.int32]:
    """Return a graded input as whole numbers, ``rint(values * scale)``.

    Args:
        values: numbers of any dtype and shape.
        message_bits: width of a payload, with the sign.
        scale: by what values are multiplied.
        name: of the input, for the message.

    Raises:
        DeployError: a value is not finite or beyond the payload, or all that is not 0 rounds to 0.
    """
    scaled = np.rint(np.asarray(values, np.float64) * scale)
    low, high = -(1 << message_bits - 1), (1 << message_bits - 1) - 1
    if not np.isfinite(scaled).all() or scaled.min(initial=0) < low or scaled.max(initial=0) > high:
        raise DeployError(
            f"input {name!r} holds values of {np.min(values):g} to {np.max(values):g}, but {message_bits} message bits"
            f" at an input scale of {scale:g} hold only {low / scale:g} to {high / scale:g}",
            where="--input",
            fix="Compile with --calibrate DATA that holds such values, with more --message-bits or a smaller"
            " --input-scale, or scale the data.",
        )
    if np.any(values) and not scaled.any():
        raise DeployError(
            f"input {name!r} holds values of {np.min(values):g} to {np.max(values):g}, which all round to 0 at an input"
            f" scale of {scale:g}",
            where="--input",
            fix="Compile with a larger --input-scale.",
        )
    whole: NDArray[np.int32] = np.ascontiguousarray(scaled, dtype=np.int32)
    return whole


def is_binary(values: NDArray[Any]) -> bool:
    """Tell whether all values, of any dtype and shape, are 0 or 1."""
    if values.dtype.kind == "b":
        return True
    if values.dtype.kind == "u":
        return int(values.max(initial=0)) <= 1
    return bool(((values == 0) | (values == 1)).all())

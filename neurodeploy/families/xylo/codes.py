"""Integer codes of a configuration of Xylo: what its registers and synapses hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import frozen_array

STATE_MIN, STATE_MAX = -(2**15), 2**15 - 1
"""Of v and of every current, which saturate there."""

INPUT_MAX, HIDDEN_MAX, OUTPUT_MAX = 15, 31, 1
"""Spikes in a step: counted of an input channel, sent by a hidden neuron with those aliased to it, by an output."""

NO_ALIAS = -1

RANGES = {
    "dash_syn": (0, 15),
    "dash_mem": (0, 15),
    "threshold_code": (STATE_MIN, STATE_MAX),
    "bias_code": (STATE_MIN, STATE_MAX),
}
"""What the registers of a neuron hold. Source: XyloSim 0.1.3, whose decay shifts are 8 bits wide; the chip's are 4."""

WEIGHT_RANGE = (-128, 127)
SHIFT_RANGE = (0, 15)
VERSIONS = (1, 2)


@dataclass(frozen=True, eq=False, slots=True)
class XyloNeurons:
    """Registers of the hidden neurons, or of the outputs.

    dash_syn: int64 (n_synapses, n), each current loses ``i >> dash_syn`` in a step; hidden neurons have one current or
        two, outputs one.
    dash_mem: int64 (n,), v loses ``v >> dash_mem`` in a step.
    threshold_code: int64 (n,), the neuron fires when ``v >= threshold_code``, and v loses it for each spike.
    bias_code: int64 (n,), added to v in each step.
    """

    dash_syn: NDArray[np.int64]
    dash_mem: NDArray[np.int64]
    threshold_code: NDArray[np.int64]
    bias_code: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = np.shape(self.dash_syn)[-1] if np.ndim(self.dash_syn) == 2 else -1
        if n < 0 or len(self.dash_syn) not in (1, 2):
            raise ValueError(
                f"XyloNeurons.dash_syn has shape {np.shape(self.dash_syn)}, but it must be (1, n) or (2, n)"
            )
        for key, limits in RANGES.items():
            shape = (len(self.dash_syn), n) if key == "dash_syn" else (n,)
            object.__setattr__(self, key, _codes(f"XyloNeurons.{key}", getattr(self, key), limits, shape))

    @property
    def size(self) -> int:
        """The number of neurons."""
        return len(self.dash_mem)

    @property
    def n_synapses(self) -> int:
        """The number of currents of each neuron."""
        return len(self.dash_syn)


@dataclass(frozen=True, eq=False, slots=True)
class XyloCodes:
    """All registers of a configuration: inputs to hidden neurons, these among themselves, and to the outputs.

    Weights are int64 (n_sources, n_synapses, n_targets), -128 to 127, and count ``weight << shift``, cut to 16 bits.

    weight_in: from the input channels to the hidden neurons.
    weight_rec: from the hidden neurons to the hidden neurons.
    weight_out: from the hidden neurons to the outputs, which have one synapse.
    shift_in, shift_rec, shift_out: one shift for each of the three.
    hidden, outputs: registers of the neurons.
    alias: int64 (n_hidden,), the hidden neuron to which each one's spikes are added in the same step, or -1.
    version: 2, or 1 for the older SYNS61300, which has no biases and sums v's change at once.
    """

    weight_in: NDArray[np.int64]
    weight_rec: NDArray[np.int64]
    weight_out: NDArray[np.int64]
    shift_in: int
    shift_rec: int
    shift_out: int
    hidden: XyloNeurons
    outputs: XyloNeurons
    alias: NDArray[np.int64]
    version: int = 2

    def __post_init__(self) -> None:
        n, n_synapses, n_out = self.hidden.size, self.hidden.n_synapses, self.outputs.size
        if np.ndim(self.weight_in) != 3:
            raise ValueError(
                f"XyloCodes.weight_in has shape {np.shape(self.weight_in)}, but it must be (n_in, n_synapses, n_hidden)"
            )
        if self.outputs.n_synapses != 1:
            raise ValueError("XyloCodes.outputs has two currents, but an output of Xylo has one")
        shapes = {
            "weight_in": (len(self.weight_in), n_synapses, n),
            "weight_rec": (n, n_synapses, n),
            "weight_out": (n, 1, n_out),
        }
        for key, shape in shapes.items():
            object.__setattr__(self, key, _codes(f"XyloCodes.{key}", getattr(self, key), WEIGHT_RANGE, shape))
        object.__setattr__(self, "alias", _codes("XyloCodes.alias", self.alias, (NO_ALIAS, n - 1), (n,)))
        for key in ("shift_in", "shift_rec", "shift_out"):
            object.__setattr__(self, key, int(_codes(f"XyloCodes.{key}", getattr(self, key), SHIFT_RANGE, ())))
        if self.version not in VERSIONS:
            raise ValueError(f"XyloCodes.version is {self.version!r}, but it must be 1 or 2")
        if self.version == 1 and (self.hidden.bias_code.any() or self.outputs.bias_code.any()):
            raise ValueError("XyloCodes has a bias other than 0, but version 1 has no biases")

    @property
    def n_in(self) -> int:
        """The number of input channels."""
        return len(self.weight_in)

    def counts(self, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """Return input counts that have been checked.

        Args:
            inputs: whole numbers from 0 to 255 [T, B, n_in], spikes of each channel in each step.

        Returns:
            int64, the same counts.

        Raises:
            ValueError: another shape, or a count outside 0 to 255.
        """
        if np.ndim(inputs) != 3 or np.shape(inputs)[2] != self.n_in:
            raise ValueError(f"inputs have shape {np.shape(inputs)}, but it must be (T, B, {self.n_in})")
        return _codes("inputs", inputs, (0, 255), np.shape(inputs))


@dataclass(frozen=True, eq=False, slots=True)
class XyloRun:
    """What a configuration did: the registers at the end of every step.

    spikes: uint8 [T, B, n_hidden], 0 to 31, with those that were aliased to the neuron.
    i: int16 [T, B, n_synapses, n_hidden], after the decay.
    v: int16 [T, B, n_hidden], after the spikes.
    spikes_out, i_out, v_out: the same of the outputs, ``[T, B, n_out]`` and i_out ``[T, B, 1, n_out]``.
    """

    spikes: NDArray[np.uint8]
    i: NDArray[np.int16]
    v: NDArray[np.int16]
    spikes_out: NDArray[np.uint8]
    i_out: NDArray[np.int16]
    v_out: NDArray[np.int16]

    def differences(self, other: XyloRun) -> dict[str, int]:
        """Return how many numbers differ from those of another run, by register; nothing where both are equal.

        Raises:
            ValueError: the two are not of one size.
        """
        found = {}
        for field in fields(self):
            mine, others = getattr(self, field.name), getattr(other, field.name)
            if mine.shape != others.shape:
                raise ValueError(f"{field.name} has shape {mine.shape} in one run and {others.shape} in the other")
            if n := int((mine != others).sum()):
                found[field.name] = n
        return found


def empty_run(codes: XyloCodes, n_steps: int, n_samples: int) -> XyloRun:
    """Return a run that is still to be written: all zeros.

    Args:
        codes: the configuration, for the numbers of neurons.
        n_steps: hardware steps.
        n_samples: samples.
    """
    rows = (n_steps, n_samples)
    arrays: list[Any] = []
    for neurons in (codes.hidden, codes.outputs):
        arrays += [
            np.zeros((*rows, neurons.size), np.uint8),
            np.zeros((*rows, neurons.n_synapses, neurons.size), np.int16),
            np.zeros((*rows, neurons.size), np.int16),
        ]
    return XyloRun(*arrays)


def _codes(name: str, values: Any, limits: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return whole numbers within their range as a read-only array of this very shape.

    Raises:
        ValueError: it says what they are instead.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but it must be {shape}")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} is of type {array.dtype}, but it must be whole numbers")
    low, high = limits
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{name} is {array.min()} to {array.max()}, but it must be {low} to {high}")
    return frozen_array(array, np.int64)

"""Facts about a Xylo: the schema of its target files, and what each fact may be."""

from __future__ import annotations

from typing import ClassVar

from neurodeploy.families.xylo.codes import HIDDEN_MAX, INPUT_MAX, OUTPUT_MAX, RANGES, STATE_MAX, WEIGHT_RANGE
from neurodeploy.families.xylo.limits import SHIFT_MAX, XyloChip
from neurodeploy.targets.target import Allowed, Choice, Facts, Number, Target


class NeuronFacts(Facts):
    """Facts about what the chip's neurons do; they cannot be programmed.

    spike: the condition. resets: what a spike does to v.
    input_spikes_max, hidden_spikes_max, output_spikes_max: spikes of a channel or a neuron that one step holds.
    """

    spike: Choice
    resets: Choice
    input_spikes_max: Number
    hidden_spikes_max: Number
    output_spikes_max: Number


class NumberFormats(Facts):
    """Widths and ranges of the integer codes.

    state_bits: of v and of each current, with the sign, where they saturate. threshold_bits, bias_bits: with the sign.
    decay_shift_max: by how much a register is shifted for what it loses in a step.
    weight_bits: with the sign. weight_shift_max: of the one shift that all weights of a matrix share.
    """

    state_bits: Number
    threshold_bits: Number
    bias_bits: Number
    decay_shift_max: Number
    weight_bits: Number
    weight_shift_max: Number


class Limits(Facts):
    """Limits of one chip.

    version: of the arithmetic; we compile for 2. inputs, hidden, outputs: channels and neurons.
    synapses: currents of a hidden neuron. input_reaches: the first so many hidden neurons have weights from the input.
    outputs_see: the last so many hidden neurons have weights to the outputs.
    fan_out: weights other than 0 from one hidden neuron to hidden neurons, over all its synapses.
    recurrent_weights: of each synapse, over all hidden neurons.
    """

    version: Number
    inputs: Number
    hidden: Number
    outputs: Number
    synapses: Number
    input_reaches: Number
    outputs_see: Number
    fan_out: Number
    recurrent_weights: Number


_STATE_BITS = (STATE_MAX + 1).bit_length()
_WEIGHT_BITS = (WEIGHT_RANGE[1] + 1).bit_length()
_COUNTS = tuple(key for key in Limits.model_fields if key != "version")


def _fixed(unit: str, value: int) -> Allowed:
    return Allowed(unit, (value, value))


ALLOWED: dict[str, Allowed] = {
    "neuron.spike": Allowed(words=(">=",), always=">="),
    "neuron.resets": Allowed(words=("subtract",), always="subtract"),
    "neuron.input_spikes_max": _fixed("1", INPUT_MAX),
    "neuron.hidden_spikes_max": _fixed("1", HIDDEN_MAX),
    "neuron.output_spikes_max": _fixed("1", OUTPUT_MAX),
    "number_formats.state_bits": _fixed("bit", _STATE_BITS),
    "number_formats.threshold_bits": _fixed("bit", _STATE_BITS),
    "number_formats.bias_bits": _fixed("bit", _STATE_BITS),
    "number_formats.decay_shift_max": _fixed("1", RANGES["dash_mem"][1]),
    "number_formats.weight_bits": _fixed("bit", _WEIGHT_BITS),
    "number_formats.weight_shift_max": _fixed("1", SHIFT_MAX),
    "limits.version": _fixed("1", 2),
    **{f"limits.{key}": Allowed("1", (1, 2**31 - 1)) for key in _COUNTS},
}
"""What each fact may be, by its key."""


class XyloTarget(Target):
    """A Xylo."""

    SECTIONS: ClassVar[tuple[str, ...]] = ("neuron", "number_formats", "limits")
    ALLOWED: ClassVar[dict[str, Allowed]] = ALLOWED

    neuron: NeuronFacts
    number_formats: NumberFormats
    limits: Limits

    def can(self) -> frozenset[str]:
        """Return what programs may need of the chip beyond its own neuron: nothing."""
        return frozenset()

    def formats(self) -> dict[str, int]:
        """Return the bare numbers that programs carry and plans are checked with, by name."""
        facts = self.number_formats
        return {
            "weight_bits_max": facts.weight_bits.value,
            "weight_exponent_max": facts.weight_shift_max.value,
            "decay_bits": facts.decay_shift_max.value.bit_length(),
            "threshold_bits": facts.threshold_bits.value - 1,
            "bias_mantissa_max": 2 ** (facts.bias_bits.value - 1) - 1,
            "bias_exponent_max": 0,
            "delay_max": 0,
            "message_bits_max": self.neuron.input_spikes_max.value.bit_length() + 1,
        }

    @property
    def chip(self) -> XyloChip:
        """What the chip holds."""
        return XyloChip(self.title, **{key: getattr(self.limits, key).value for key in Limits.model_fields})

"""Facts about a Loihi: the schema of its target files, and what each fact may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_BITS, STATE_LIMIT
from neurodeploy.families.loihi.codes import (
    BIAS_EXPONENTS,
    CODE_RANGES,
    CONDITIONS,
    MAX_DELAY,
    MODEL_RANGES,
    RESETS,
    THRESHOLD_MAX,
    WEIGHT_BITS,
    WEIGHT_EXPONENTS,
)
from neurodeploy.families.target_file import load_target, target_names
from neurodeploy.ir.codes import MESSAGE_BITS
from neurodeploy.ir.needs import RESETS as RESETS_NEED
from neurodeploy.ir.needs import can
from neurodeploy.targets.target import Allowed, Choice, Facts, Flag, Number, Target
from neurodeploy.targets.target_file import Place


class NeuronFacts(Facts):
    """Facts about what the chip's neurons do, or can be programmed to do.

    spike: the conditions, of ``codes.CONDITIONS``. resets: which of ``codes.RESETS``.
    spikes_per_step_max: 1, or the largest count that one graded spike carries.
    refractory_max: steps after a spike's own for which v can be held.
    adaptive_threshold: a threshold that spikes raise and that falls back, or a current of such kind that lowers v.
    second_current: a second synaptic current that takes the input with the other sign.
    reset_currents: a reset that sets the synaptic currents to 0 as well.
    potential_floor: a value below which v is not let fall.
    potential_output: neurons that do not fire and whose v is read.
    """

    spike: Choice
    resets: Choice
    spikes_per_step_max: Number
    refractory_max: Number
    adaptive_threshold: Flag
    second_current: Flag
    reset_currents: Flag
    potential_floor: Flag
    potential_output: Flag


class NumberFormats(Facts):
    """Widths and ranges of the integer codes.

    input_sum_bits: of what one step's input sums to, with the sign; that of u where nothing narrower lies before it.
    """

    state_bits: Number
    decay_bits: Number
    threshold_bits: Number
    bias_mantissa_max: Number
    bias_exponent_max: Number
    weight_bits_max: Number
    weight_exponent_max: Number
    delay_max: Number
    message_bits_max: Number
    input_sum_bits: Number

    def values(self) -> dict[str, int]:
        """Return the bare numbers by name, as programs carry them."""
        return {name: getattr(self, name).value for name in type(self).model_fields}


class Limits(Facts):
    """Limits of one chip."""

    cores: Number
    neurons_per_core: Number
    synapse_bytes_per_core: Number


ALWAYS = can("interval ternary conv sparse negative-exponent host")
"""What programs may need of every chip: Lava's own processes and layouts, which no fact of a target is about."""

_MANY = 2**31 - 1

ALLOWED: dict[str, Allowed] = {
    "neuron.spike": Allowed(words=CONDITIONS, always=">"),
    "neuron.resets": Allowed(words=RESETS, always="zero"),
    "neuron.spikes_per_step_max": Allowed("1", (1, STATE_LIMIT - 1)),
    "neuron.refractory_max": Allowed("step", MODEL_RANGES["refractory"]),
    "neuron.adaptive_threshold": Allowed(),
    "neuron.second_current": Allowed(),
    "neuron.reset_currents": Allowed(),
    "neuron.potential_floor": Allowed(),
    "neuron.potential_output": Allowed(),
    "number_formats.state_bits": Allowed("bit", (STATE_BITS, STATE_BITS)),
    "number_formats.decay_bits": Allowed("bit", (DECAY_BITS, DECAY_BITS)),
    "number_formats.threshold_bits": Allowed("bit", (1, THRESHOLD_MAX.bit_length())),
    "number_formats.bias_mantissa_max": Allowed("1", (1, CODE_RANGES["bias_mantissa"][1])),
    "number_formats.bias_exponent_max": Allowed("1", BIAS_EXPONENTS),
    "number_formats.weight_bits_max": Allowed("bit", WEIGHT_BITS),
    "number_formats.weight_exponent_max": Allowed("1", WEIGHT_EXPONENTS),
    "number_formats.delay_max": Allowed("step", (0, MAX_DELAY - 1)),
    "number_formats.message_bits_max": Allowed("bit", MESSAGE_BITS),
    "number_formats.input_sum_bits": Allowed("bit", (ALIGN_BITS + 1, STATE_BITS)),
    "limits.cores": Allowed("1", (1, _MANY)),
    "limits.neurons_per_core": Allowed("1", (1, _MANY)),
    "limits.synapse_bytes_per_core": Allowed("B", (1, _MANY)),
}
"""What each fact may be, by its key."""


class LoihiTarget(Target):
    """A Loihi."""

    SECTIONS: ClassVar[tuple[str, ...]] = ("neuron", "number_formats", "limits")
    ALLOWED: ClassVar[dict[str, Allowed]] = ALLOWED

    neuron: NeuronFacts
    number_formats: NumberFormats
    limits: Limits

    def can(self) -> frozenset[str]:
        """Return what programs may need of the chip; see :mod:`neurodeploy.ir.needs`."""
        neuron, formats = self.neuron, self.number_formats
        by_fact = {
            **{need: reset in neuron.resets.value for reset, need in RESETS_NEED.items()},
            "meets": ">=" in neuron.spike.value,
            "count": neuron.spikes_per_step_max.value > 1,
            "refractory": neuron.refractory_max.value > 0,
            "adaptive": neuron.adaptive_threshold.value,
            "lowers-v": neuron.adaptive_threshold.value,
            "second": neuron.second_current.value,
            "clears-now": neuron.reset_currents.value,
            "clears-late": neuron.reset_currents.value,
            "floor": neuron.potential_floor.value,
            "integrator": neuron.potential_output.value,
            "delay": formats.delay_max.value > 0,
            "graded": formats.message_bits_max.value > 0,
        }
        return ALWAYS | {need for need, is_met in by_fact.items() if is_met}

    def formats(self) -> dict[str, int]:
        """Return the bare numbers that programs carry, by name."""
        return self.number_formats.values()

    def own_faults(self) -> Iterator[tuple[Place, str]]:
        """Yield which facts cannot be together, each with its place."""
        most, bits = self.neuron.spikes_per_step_max.value, self.number_formats.message_bits_max.value
        if most > 1 and most >= 1 << max(bits - 1, 0):
            yield (
                ("neuron", "spikes_per_step_max"),
                f"neuron.spikes_per_step_max is {most}, and messages of number_formats.message_bits_max = {bits} bits,"
                f" with the sign, carry at most {max((1 << max(bits - 1, 0)) - 1, 1)}",
            )


def loihi_targets() -> list[LoihiTarget]:
    """Return the Loihis that ship with neurodeploy."""
    return [one for name in target_names() if isinstance(one := load_target(name), LoihiTarget)]

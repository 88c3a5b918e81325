"""Integer codes of Loihi: its registers and their ranges, the kinds of its neurons, and what its synapses hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import finite, frozen_array
from neurodeploy.families.loihi.arithmetic import DECAY_BITS, STATE_LIMIT
from neurodeploy.ir.codes import (
    MAX_LATENCY,
    MESSAGE_BITS,
    CodedPopulation,
    CodedProjection,
    fitting,
    outside,
    whole_shape,
)
from neurodeploy.ir.needs import EXTRAS, MODEL, needs_of
from neurodeploy.ir.synapses import Shape

RESETS = ("zero", "subtract", "subtract-late", "zero-late", "none", "subtract-pending")
ADAPTATIONS = ("threshold", "v")
"""What spikes change for a while: they raise the threshold, or lower v."""

CLEARED = ("", "now", "late")
"""Whether currents become 0 after a spike: never, in its own step, or at the end of the next."""

CONDITIONS = (">", ">=")
"""When a neuron fires: v above the threshold, or also where it meets it."""

THRESHOLD_MAX = 131071
"""Largest threshold code; that of an integrator, whose v is read and which is not meant to fire."""

CODE_RANGES = {
    "du": (0, 2**DECAY_BITS - 1),
    "dv": (0, 2**DECAY_BITS - 1),
    "threshold_code": (0, THRESHOLD_MAX),
    "bias_mantissa": (-4096, 4095),
    "u_init": (1 - STATE_LIMIT, STATE_LIMIT),
    "v_init": (1 - STATE_LIMIT, STATE_LIMIT - 1),
    "threshold_low_code": (-THRESHOLD_MAX, 0),
    "v_min": (1 - STATE_LIMIT, 0),
    "adapt_decay": (0, 2**DECAY_BITS - 1),
    "adapt_step": (0, STATE_LIMIT - 1),
    "du_second": (0, 2**DECAY_BITS - 1),
}
"""What the registers of a neuron hold. Source: lava-nc 0.10.0, ``lava.proc.lif.models.PyLifModelBitAcc``, which
checks none of it; those from v_min on are of our own programmable neuron, as wide as u and v."""

CODES = ("du", "dv", "threshold_code", "bias_mantissa", "u_init", "v_init")
"""Arrays that every population has."""

EXTRA_CODES = tuple(EXTRAS)
"""Arrays that a population may have."""

BIAS_EXPONENTS = (0, 7)
WEIGHT_EXPONENTS = (0, 7)
WEIGHT_BITS = (1, 8)
WEIGHT_RANGES = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
"""Of each sign mode. Source: lava-nc 0.10.0, ``lava.utils.weightutils.clip_weights``."""

MAX_DELAY = 63
"""Hardware steps of a connection: its own and 62 more."""

MODEL_RANGES = {
    "max_spikes": (1, STATE_LIMIT),
    "refractory": (0, 4096),
    "reset_interval": (0, 2**31 - 1),
    "reset_offset": (-(2**31), 2**31 - 1),
}
"""Of our programmable neuron: no step holds more spikes than v has values, and a counter of steps is 32 bits wide."""


@dataclass(frozen=True, slots=True)
class NeuronModel:
    """The kind of integer neuron of a population, the same for all its neurons; by default, Loihi's plain LIF.

    reset: what a spike does to v. ``zero``: v becomes 0. ``subtract``: v loses the threshold for each spike.
        ``subtract-late``: it does so in the next step, after the decay. ``zero-late``: the next step ends, before its
        spike test, at v = 0, so that its input is lost. ``none``: nothing. ``subtract-pending``: what v still holds
        after a step is subtracted in the next, after the decay, and counts towards that step's own subtraction.
    max_spikes: what one step can send: 1, or a count as payload, floor(v / threshold), of at most so many; None for no
        limit.
    refractory: steps after a spike in which v is held at 0 while u goes on.
    reset_interval, reset_offset: u and v become 0 before the step of each hardware row t (from 1) with
        ``t % interval == offset``; an interval of 0 stands for never.
    fires: False for integrators, whose output is v.
    spike: ``>``, or ``>=`` for a neuron that fires also where v meets the threshold.
    adapts: what an adaptation changes: the ``threshold``, or ``v``, from which it is subtracted in each step.
    clears_u: whether a spike sets the currents to 0 too: ``now``, after v has seen them, or ``late``, a step after.
    """

    reset: str = "zero"
    max_spikes: int | None = 1
    refractory: int = 0
    reset_interval: int = 0
    reset_offset: int = 0
    fires: bool = True
    spike: str = ">"
    adapts: str = "threshold"
    clears_u: str = ""

    def __post_init__(self) -> None:
        choices = {"reset": RESETS, "spike": CONDITIONS, "adapts": ADAPTATIONS, "clears_u": CLEARED}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"NeuronModel.{key} is {getattr(self, key)!r}, which is not one of {known}")
        if not isinstance(self.fires, bool):
            raise ValueError(f"NeuronModel.fires is {self.fires!r}, but it must be true or false")
        single = {key: (getattr(self, key), limits) for key, limits in MODEL_RANGES.items()}
        if self.max_spikes is None:
            del single["max_spikes"]
        if faults := outside(single):
            raise ValueError("NeuronModel." + "; ".join(faults))
        offset = self.reset_offset % self.reset_interval if self.reset_interval else 0
        object.__setattr__(self, "reset_offset", offset)

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it beyond the plain neuron; see :mod:`neurodeploy.ir.needs`."""
        return needs_of(self, MODEL)


PLAIN = NeuronModel()


BUILT_IN = (frozenset[str](), frozenset({"interval"}), frozenset({"ternary"}))
"""What Lava's own fixed-point neurons compute beyond the plain one, of each kind."""

_PLAIN_FIELDS = ("name", "shape", *CODES, "bias_exponent", "latency", "unit", "model", "helps")
"""Of a population, what everybody reads, or nobody computes with."""

_FILE_KEYS = ("name", "shape", "bias_exponent", "latency", "unit", "helps")
"""Of a population, what is neither codes nor a model."""


@dataclass(frozen=True, eq=False, slots=True)
class LoihiPopulation(CodedPopulation):
    """Integer codes of a population; every array is int32 (n,) in C order over ``shape``.

    du, dv: decay codes; u keeps ``(4096 - (du + 1)) / 4096`` of itself in a step, v keeps ``(4096 - dv) / 4096``.
    threshold_code: the neuron fires when ``v > threshold_code << 6``, or at ``>=`` if its model says so.
    bias_mantissa, bias_exponent: ``bias_mantissa << bias_exponent`` is added to v in each step, in register units.
    u_init, v_init: registers before the first hardware step of every sample.
    latency: hardware step (from 0) of the model's row 0.
    unit: register units per volt of the float model.
    model: which neuron it is; what follows is None where the neuron has no such thing.
    threshold_low_code: a ternary neuron sends -1, and v becomes 0, when ``v < threshold_low_code << 6``.
    v_min: register units below which v is not let fall, after the reset.
    adapt_decay, adapt_step: an adaptive threshold, raised by the register ``b``, which keeps ``(4096 - adapt_decay) /
        4096`` of itself in a step and, after the spike test, grows by ``adapt_step`` for each spike.
    du_second: a second current, which receives the input with the other sign and keeps ``(4096 - (du_second + 1)) /
        4096`` of itself in a step; v sees the sum of both.
    helps: what a population that the model does not have is there for; empty for the model's own.
    """

    family: ClassVar[str] = "loihi"

    name: str
    shape: Shape
    du: NDArray[Any]
    dv: NDArray[Any]
    threshold_code: NDArray[Any]
    bias_mantissa: NDArray[Any]
    bias_exponent: int
    u_init: NDArray[Any]
    v_init: NDArray[Any]
    latency: int
    unit: float
    model: NeuronModel = PLAIN
    threshold_low_code: NDArray[Any] | None = None
    v_min: NDArray[Any] | None = None
    adapt_decay: NDArray[Any] | None = None
    adapt_step: NDArray[Any] | None = None
    du_second: NDArray[Any] | None = None
    helps: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", whole_shape(self.name, self.shape))
        if not finite(self.unit):
            raise ValueError(f"{self.name} has a unit of {self.unit!r}, but it must be a finite number")
        for key, values in self.arrays().items():
            object.__setattr__(self, key, frozen_array(fitting(values, np.int32), np.int32, (self.size,)))
        if (self.adapt_decay is None) != (self.adapt_step is None):
            raise ValueError(f"{self.name} has only one of adapt_decay and adapt_step")
        if self.threshold_low_code is not None and (self.model.reset != "zero" or self.model.max_spikes != 1):
            raise ValueError(f"{self.name} is ternary, so a spike is 1 or -1 and v becomes 0")

    @property
    def fires(self) -> bool:
        """Whether it sends spikes; an integrator's v is read instead."""
        return self.model.fires

    @property
    def is_custom(self) -> bool:
        """Whether it is none of Lava's fixed-point neurons, so that it would have to be programmed for the chip."""
        return self.needs() - {"integrator"} not in BUILT_IN

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it beyond the plain neuron; see :mod:`neurodeploy.ir.needs`."""
        return self.model.needs() | needs_of(self, EXTRAS, _PLAIN_FIELDS)

    @property
    def is_graded(self) -> bool:
        """Whether what it sends can be other than 0 and 1."""
        return self.model.max_spikes != 1 or self.threshold_low_code is not None

    @property
    def takes_bias_as_spikes(self) -> bool:
        """Whether a source that is always on brings the constant input of its currents: of two, or of cleared ones."""
        return self.du_second is not None or self.model.clears_u != ""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the codes that it has, by name."""
        found = {key: getattr(self, key) for key in (*CODES, *EXTRA_CODES)}
        return {key: values for key, values in found.items() if values is not None}

    def faults(self) -> list[str]:
        """Return which codes no register holds, a sentence each."""
        found = []
        for key, codes in self.arrays().items():
            low, high = CODE_RANGES[key]
            if codes.size and (codes.min() < low or codes.max() > high):
                found.append(
                    f"{self.name}: {key} is {codes.min()} to {codes.max()}, but registers hold {low} to {high}"
                )
        if self.model.max_spikes != 1 and (self.threshold_code < 1).any():
            found.append(f"{self.name}: it counts spikes, and its threshold code is 0, but it must be at least 1")
        single = {"bias_exponent": (self.bias_exponent, BIAS_EXPONENTS), "latency": (self.latency, (0, MAX_LATENCY))}
        return found + [f"{self.name}: {fault}" for fault in outside(single)]

    def entry(self) -> dict[str, Any]:
        """Return what the manifest of a program file has of it, beside its arrays."""
        return {**{key: getattr(self, key) for key in _FILE_KEYS}, "model": asdict(self.model)}

    @classmethod
    def of_file(cls, entry: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LoihiPopulation:
        """Return the population of a manifest's entry and of the arrays that the file has of it, by name."""
        codes: dict[str, Any] = {key: arrays[key] for key in (*CODES, *(key for key in EXTRA_CODES if key in arrays))}
        return cls(**{**entry, "model": NeuronModel(**entry.get("model", {}))}, **codes)


def synapse_faults(projection: CodedProjection) -> list[str]:
    """Return what no synapse holds, a sentence each."""
    single = {
        "weight_bits": (projection.weight_bits, WEIGHT_BITS),
        "exponent": (projection.exponent, WEIGHT_EXPONENTS),
        "delay": (projection.delay, (1, MAX_DELAY)),
        "message_bits": (projection.message_bits, MESSAGE_BITS),
    }
    found = outside(single)
    low, high = WEIGHT_RANGES[projection.sign_mode]
    if projection.weight.size and (projection.weight.min() < low or projection.weight.max() > high):
        found.append(
            f"weights are {projection.weight.min()} to {projection.weight.max()}, but {projection.sign_mode} weights"
            f" are {low} to {high}"
        )
    if projection.weight_bits in range(1, 9):
        step = 1 << (8 - projection.weight_bits + (projection.sign_mode == "mixed"))
        if (projection.weight % step).any():
            found.append(f"weights are not multiples of {step}, to which {projection.weight_bits} bits truncate them")
    return [f"{projection.name}: {fault}" for fault in found]

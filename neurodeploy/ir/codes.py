"""Integer codes of populations and projections: what a chip's registers and synapses hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import finite, frozen_array
from neurodeploy.budget import MAX_NEURONS
from neurodeploy.families.loihi.arithmetic import DECAY_BITS, STATE_LIMIT
from neurodeploy.ir.needs import EXTRAS, LAYOUT, MODEL, needs_of
from neurodeploy.ir.synapses import Conv2d, Pair, Shape, as_map

SIGN_MODES = ("mixed", "excitatory", "inhibitory")
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

MAX_LATENCY = 10_000

MODEL_RANGES = {
    "max_spikes": (1, STATE_LIMIT),
    "refractory": (0, 4096),
    "reset_interval": (0, 2**31 - 1),
    "reset_offset": (-(2**31), 2**31 - 1),
}
"""Of our programmable neuron: no step holds more spikes than v has values, and a counter of steps is 32 bits wide."""

GEOMETRY_RANGES = {"stride": (1, 2**31 - 1), "padding": (0, 2**31 - 1), "dilation": (1, 2**31 - 1)}
"""Of a convolution, for rows and for columns."""

MESSAGE_BITS = (0, 24)
"""Of a graded spike's payload, with the sign. Source: lava-nc 0.10.0, ``num_message_bits``."""


MAX_AXES = 32
"""Of a node's shape; NumPy allows some more, and two are for time and samples."""


def outside(values: dict[str, tuple[Any, tuple[int, int]]]) -> list[str]:
    """Return which single values are no whole numbers within their range."""
    return [
        f"{key} is {value!r}, but it must be a whole number from {low} to {high}"
        for key, (value, (low, high)) in values.items()
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not low <= value <= high
    ]


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


PROCESSES = {
    frozenset[str](): "LIF",
    frozenset({"interval"}): "LIFReset",
    frozenset({"ternary"}): "TernaryLIF",
}
"""Lava's fixed-point processes, by what they compute beyond the plain neuron."""

_PLAIN_FIELDS = ("name", "shape", *CODES, "bias_exponent", "latency", "unit", "model", "helps")
"""Of a population, what everybody reads, or nobody computes with."""


@dataclass(frozen=True, eq=False, slots=True)
class CodedPopulation:
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
            object.__setattr__(self, key, frozen_array(_fitting(values, np.int32), np.int32, (self.size,)))
        if (self.adapt_decay is None) != (self.adapt_step is None):
            raise ValueError(f"{self.name} has only one of adapt_decay and adapt_step")
        if self.threshold_low_code is not None and (self.model.reset != "zero" or self.model.max_spikes != 1):
            raise ValueError(f"{self.name} is ternary, so a spike is 1 or -1 and v becomes 0")

    @property
    def size(self) -> int:
        """The number of neurons."""
        return prod(self.shape)

    @property
    def process(self) -> str:
        """The name of its process among Lava's fixed-point ones: LIF, LIFReset or TernaryLIF; ``custom`` for none."""
        return PROCESSES.get(self.needs() - {"integrator"}, "custom")

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


_PLAIN_SYNAPSES = ("source", "target", "weight", "exponent", "weight_bits", "sign_mode", "delay")
"""Of a projection, what everybody reads."""


@dataclass(frozen=True, eq=False, slots=True)
class CodedProjection:
    """Integer synapses from a population or an input to a population.

    weight: int16, dense ``(n_out, n_in)``, convolution ``(c_out, c_in / groups, h, w)`` as torch has it, or sparse
        ``(stored,)``; already clipped to the sign mode's range and truncated to ``weight_bits``.
    exponent: the weight counts ``weight << exponent``; never negative, so that both arithmetics agree.
    sign_mode: ``mixed``, ``excitatory`` or ``inhibitory``.
    delay: hardware steps from a spike to its arrival, at least 1.
    stride, padding, dilation, groups: of a convolution, else ``None``.
    n_out, indices, indptr: of sparse synapses, else ``None``; int32 (stored,) and int64 (n_in + 1,), as a
        ``scipy.sparse.csc_array`` of (n_out, n_in) has them: source j's weights are ``weight[indptr[j]:indptr[j + 1]]``
        and reach the neurons ``indices`` of the same places, ascending and without repeats.
    message_bits: of the payload of a graded spike, which multiplies the weight; 0 where a spike just counts 1.
    """

    source: str
    target: str
    weight: NDArray[Any]
    exponent: int
    weight_bits: int
    sign_mode: str
    delay: int
    stride: Pair | None = None
    padding: Pair | None = None
    dilation: Pair | None = None
    groups: int | None = None
    n_out: int | None = None
    indices: NDArray[Any] | None = None
    indptr: NDArray[Any] | None = None
    message_bits: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(_fitting(self.weight, np.int16), np.int16))
        if self.sign_mode not in SIGN_MODES:
            raise ValueError(f"{self.name} has sign mode {self.sign_mode!r}, which is not one of {SIGN_MODES}")
        if faults := outside({"delay": (self.delay, (1, 2**31 - 1))}):
            raise ValueError(f"{self.name}: {faults[0]}")
        if self.weight.ndim != (4 if self.is_conv else 1 if self.is_sparse else 2):
            raise ValueError(f"{self.name} has weights of shape {self.weight.shape}")
        if self.is_conv:
            self._check_geometry()
        elif self.is_sparse:
            self._check_sparse()

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.source} -> {self.target}"

    @property
    def is_conv(self) -> bool:
        """Whether the weights are a convolution's."""
        return self.stride is not None

    @property
    def is_sparse(self) -> bool:
        """Whether only some pairs of neurons have a synapse."""
        return self.indptr is not None

    @property
    def kind(self) -> str:
        """``dense``, ``conv`` or ``sparse``."""
        return "conv" if self.is_conv else "sparse" if self.is_sparse else "dense"

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it; see :mod:`neurodeploy.ir.needs`."""
        own = {"delay": self.delay > 1, "negative-exponent": self.exponent < 0}
        return needs_of(self, LAYOUT, _PLAIN_SYNAPSES) | {need for need, is_so in own.items() if is_so}

    def faults(self) -> list[str]:
        """Return what no synapse holds, a sentence each."""
        single = {
            "weight_bits": (self.weight_bits, WEIGHT_BITS),
            "exponent": (self.exponent, WEIGHT_EXPONENTS),
            "delay": (self.delay, (1, MAX_DELAY)),
            "message_bits": (self.message_bits, MESSAGE_BITS),
        }
        found = outside(single)
        low, high = WEIGHT_RANGES[self.sign_mode]
        if self.weight.size and (self.weight.min() < low or self.weight.max() > high):
            found.append(
                f"weights are {self.weight.min()} to {self.weight.max()}, but {self.sign_mode} weights are {low} to"
                f" {high}"
            )
        if self.weight_bits in range(1, 9):
            step = 1 << (8 - self.weight_bits + (self.sign_mode == "mixed"))
            if (self.weight % step).any():
                found.append(f"weights are not multiples of {step}, to which {self.weight_bits} bits truncate them")
        return [f"{self.name}: {fault}" for fault in found]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if self.is_conv:
            return self.conv().output_shape(as_map(shape))
        if self.indptr is not None:
            n_out, n_in = self.n_out or 0, len(self.indptr) - 1
        else:
            n_out, n_in = self.weight.shape
        if prod(shape) != n_in:
            raise ValueError(f"takes {n_in} inputs, got shape {shape}")
        return (n_out,)

    def conv(self) -> Conv2d:
        """Return the same convolution in float, for shapes and reference arithmetic."""
        assert self.stride and self.padding is not None and self.dilation and self.groups
        return Conv2d(self.weight, None, self.stride, self.padding, self.dilation, self.groups)

    def row_sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the sums of negative and of positive weights into each neuron, or each channel of a convolution."""
        low, high = (np.minimum(self.weight, 0), np.maximum(self.weight, 0))
        if self.indices is not None:
            sums = (np.bincount(self.indices, side, self.n_out or 0) for side in (low, high))
        else:
            sums = (side.reshape(len(side), -1).sum(axis=1, dtype=np.int64) for side in (low, high))
        first, second = (np.asarray(side).astype(np.int64) for side in sums)
        return first, second

    def _check_geometry(self) -> None:
        single = {"groups": (self.groups, (1, 2**31 - 1))}
        for key, limits in GEOMETRY_RANGES.items():
            pair = getattr(self, key)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"{self.name} has {key} {pair!r}, but it must be two whole numbers")
            single |= {f"{key} of {axis}": (n, limits) for axis, n in zip(("rows", "columns"), pair, strict=True)}
        if faults := outside(single):
            raise ValueError(f"{self.name}: " + "; ".join(faults))
        for key in GEOMETRY_RANGES:
            object.__setattr__(self, key, tuple(int(n) for n in getattr(self, key)))

    def _check_sparse(self) -> None:
        if self.indices is None or outside({"n_out": (self.n_out, (0, 2**31 - 1))}):
            raise ValueError(f"{self.name} has sparse synapses without indices, or into {self.n_out!r} neurons")
        MAX_NEURONS.check(np.asarray(self.indptr).size - 1, "what sparse synapses start from", self.name)
        for key, dtype in (("indices", np.int32), ("indptr", np.int64)):
            object.__setattr__(self, key, frozen_array(_fitting(getattr(self, key), dtype), dtype))
        assert self.indices is not None and self.indptr is not None and self.n_out is not None
        if self.indices.shape != self.weight.shape or self.indptr.ndim != 1 or len(self.indptr) < 1:
            raise ValueError(f"{self.name} has {self.weight.size} sparse weights and {self.indices.size} indices")
        ends = self.indptr[0] == 0 and self.indptr[-1] == self.weight.size and (np.diff(self.indptr) >= 0).all()
        if not ends or self.indices.min(initial=0) < 0 or self.indices.max(initial=-1) >= self.n_out:
            raise ValueError(f"{self.name} has sparse synapses that point outside {self.n_out} neurons")
        falls = np.diff(self.indices) <= 0
        starts = self.indptr[1:-1]
        falls[starts[(starts > 0) & (starts < self.indices.size)] - 1] = False
        if falls.any():
            raise ValueError(f"{self.name} has sparse synapses that are not in order, or twice between two neurons")


def whole_shape(name: str, shape: Any) -> Shape:
    """Return the shape of a node as a tuple of whole numbers.

    Raises:
        ValueError: it is none.
        DeployError: it has more neurons than :data:`neurodeploy.budget.MAX_NEURONS` allows.
    """
    is_list = isinstance(shape, (tuple, list)) and len(shape) <= MAX_AXES
    if not is_list or outside({str(i): (n, (0, 2**31 - 1)) for i, n in enumerate(shape)}):
        raise ValueError(f"{name} has shape {shape!r}, but it must be at most {MAX_AXES} whole numbers of at least 0")
    MAX_NEURONS.check(prod(shape), f"shape {list(shape)}", f"node {name!r}")
    return tuple(int(n) for n in shape)


def _fitting(values: Any, dtype: type[np.integer[Any]]) -> Any:
    """Return values if they are integers that the dtype holds, so that none is rounded or wraps in silence."""
    array, info = np.asarray(values), np.iinfo(dtype)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes must be integers, got {array.dtype}")
    if array.size and (array.min() < info.min or array.max() > info.max):
        raise ValueError(f"codes of {array.min()} to {array.max()} do not fit {info.dtype}")
    return values

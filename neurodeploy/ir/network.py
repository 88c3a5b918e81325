"""The float network in discrete time: populations of neurons joined by projections of synapses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import frozen_array
from neurodeploy.errors import counted
from neurodeploy.ir.decision import Decision
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Shape, SynapseOp, chain_shape
from neurodeploy.notebook import Summarised, Summary

_PARAMETERS = (
    "decay_mem", "threshold", "decay_syn", "gain_mem", "gain_syn", "bias", "v_reset", "v_init", "v_min", "adapt_decay",
    "adapt_gain", "adapt_rate", "decay_second", "gain_second",
    "i_init",
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Population:
    """Neurons that share a rule; every parameter is float32 of the population's shape.

    name: the NIR node's name.
    shape: the NIR node's shape, without time and batch.
    rule: when they fire and how they are reset.
    decay_mem: factor on v in one step, dimensionless.
    decay_syn: factor on the synaptic current i in one step, or None where inputs reach v directly.
    gain_mem, gain_syn: factor on what enters v, and on what enters i.
    threshold, v_reset, v_init: V. i_init: the synaptic current before the first step.
    bias: V per step.
    v_min: V, below which v is not let fall, or None.
    decay_second, gain_second: of a second synaptic current that receives the same input, and that v sees added to the
        first; None where there is one at most.
    adapt_decay, adapt_gain: an adaptation, None for neurons without one. In order ``test-decay-add``, ``b' =
        adapt_decay * b + adapt_rate * s`` after each step, which raises the next step's threshold to ``threshold +
        adapt_gain * b``. In order ``decay-test-add``, b is the threshold itself: it starts at ``threshold``, is tested
        as ``b' = b + adapt_rate * (threshold - b)``, and then rises by ``adapt_gain * s``. Where the rule ``adapts`` v,
        ``b' = adapt_decay * (b + adapt_gain * s)`` after each step, which is taken from what enters v in the next.
        :attr:`adaptation` has all three in one form.
    adapt_rate: None for 1 - adapt_decay; said where that is small, and float32 holds it to more digits by itself.
    refractory: steps after a spike in which v is held at ``v_reset`` and input is lost.
    """

    name: str
    shape: Shape
    rule: NeuronRule
    decay_mem: NDArray[Any]
    threshold: NDArray[Any]
    decay_syn: NDArray[Any] | None = None
    gain_mem: NDArray[Any] | float = 1.0
    gain_syn: NDArray[Any] | float = 1.0
    bias: NDArray[Any] | float = 0.0
    v_reset: NDArray[Any] | float = 0.0
    v_init: NDArray[Any] | float = 0.0
    v_min: NDArray[Any] | float | None = None
    adapt_decay: NDArray[Any] | float | None = None
    adapt_gain: NDArray[Any] | float = 1.0
    adapt_rate: NDArray[Any] | float | None = None
    decay_second: NDArray[Any] | float | None = None
    gain_second: NDArray[Any] | float = 1.0
    i_init: NDArray[Any] | float = 0.0
    refractory: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if self.decay_second is not None and self.decay_syn is None:
            raise ValueError(f"Population {self.name!r} has a second synaptic current but no first")
        for key in _PARAMETERS:
            value = getattr(self, key)
            if value is None:
                continue
            value = frozen_array(value, np.float32, self.shape)
            if not np.isfinite(value).all():
                raise ValueError(f"Population {self.name!r} has {key} that is not finite")
            object.__setattr__(self, key, value)

    @property
    def size(self) -> int:
        """The number of neurons."""
        return prod(self.shape)

    @property
    def adaptation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """What spikes leave behind, as ``a' = keep * a + rise * s`` after each step: (keep, rise), or None.

        It raises the next step's threshold by a, or takes a from what enters v if the rule ``adapts`` that.
        """
        if self.adapt_decay is None:
            return None
        keep, gain = (np.asarray(value, np.float64) for value in (self.adapt_decay, self.adapt_gain))
        if self.rule.adapts == "v":
            return keep, keep * gain
        rate = 1.0 - keep if self.adapt_rate is None else np.asarray(self.adapt_rate, np.float64)
        if self.rule.adapt_order == "decay-test-add":
            return 1.0 - rate, (1.0 - rate) * gain
        return keep, rate * gain


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """Synapses from a population, or an input, to a population.

    source, target: names.
    ops: the linear operations between the two, in order.
    delay: steps from a spike of the source to its effect on the target; 0 within the step, 1 on a recurrent edge.
    """

    source: str
    target: str
    ops: tuple[SynapseOp, ...]
    delay: int = 0

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.source} -> {self.target}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Network(Summarised):
    """A float network in one dialect; what the reference runs and what is quantised.

    inputs: shape of each input, by name.
    populations: in an order in which each comes after those that feed it within a step.
    outputs: names of the populations that are read.
    dt: seconds per step, as the dialect has it.
    dialect: name of the dialect.
    sha256: of the model file, or empty. evidence: sentences that say how the file was read, and why.
    decision: how a sample is decided, as the file says, or None.
    readouts: what the trained model returns, ``NAME`` or ``NAME.v``, as the file says; the outputs where empty.
    undecided: what the model does to its outputs that no rule of ours is, so that one has to be said; else empty.
    labels: how populations are shown whose names are mere numbers, by name.
    """

    inputs: dict[str, Shape]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[str, ...]
    dt: float
    dialect: str
    sha256: str = ""
    evidence: tuple[str, ...] = ()
    decision: Decision | None = None
    readouts: tuple[str, ...] = ()
    undecided: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = self.shapes
        if len(shapes) != len(self.inputs) + len(self.populations):
            raise ValueError(f"names of inputs and populations must differ, got {sorted(shapes)}")
        for projection in self.projections:
            out = chain_shape(projection.ops, shapes[projection.source])
            if out != shapes[projection.target]:
                raise ValueError(
                    f"{projection.name} gives shape {out}, but the population has {shapes[projection.target]}"
                )
        for name in self.outputs:
            self.population(name)

    def summary(self) -> Summary:
        """Return what a terminal or a notebook shows of it."""
        rows = tuple((p.name, p.shape, prod(p.shape)) for p in self.populations)
        n_neurons = counted(sum(prod(p.shape) for p in self.populations), "neuron")
        line = (
            f"{counted(len(self.populations), 'population')} of {n_neurons}, dialect {self.dialect}, dt {self.dt:g} s"
        )
        return Summary(line, ("population", "shape", "neurons"), rows)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every input and population, by name."""
        return {**self.inputs, **{population.name: population.shape for population in self.populations}}

    def population(self, name: str) -> Population:
        """Return the population called ``name``; KeyError if there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    def fires(self, name: str) -> bool:
        """Tell whether population ``name`` sends spikes; one that does not is read as a value."""
        return self.population(name).rule.fires

    def is_graded(self, name: str) -> bool:
        """Tell whether what population ``name`` sends can be other than 0 and 1."""
        return self.population(name).rule.is_graded

    def digest(self) -> str:
        """Return a hash of all that is computed: parameters, rules, synapses, delays; not of operations' names."""
        found = hashlib.sha256(repr((self.inputs, self.outputs, self.dt)).encode())
        for part in (*self.populations, *(op for p in self.projections for op in (p, *p.ops))):
            for key in part.__slots__:
                if key != "ops" and (key != "name" or isinstance(part, Population)):
                    for content in _contents(key, getattr(part, key)):
                        found.update(content)
        return found.hexdigest()

    def into(self, name: str) -> tuple[Projection, ...]:
        """Return the projections that end in population ``name``."""
        return tuple(projection for projection in self.projections if projection.target == name)


def _contents(key: str, value: Any) -> tuple[Any, ...]:
    """Return a field's content as bytes or as arrays of them, without a copy of large ones."""
    if isinstance(value, np.ndarray):
        return (value.reshape(-1).view(np.uint8),)
    if isinstance(part := getattr(value, "indptr", None), np.ndarray):
        arrays = (value.data, value.indices, part)
        return (f"{key}={value.shape}".encode(), *(array.view(np.uint8) for array in arrays))
    return (f"{key}={value!r}".encode(),)

"""Observe a program on calibration data, population by population: extremes, overflow, silent and saturated neurons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.inputs import chip_inputs
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, STATE_LIMIT, decay, find_arithmetic
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions

Ints = NDArray[np.int64]

VALUES_PER_RUN = 2**24
"""Register values that one run records at most, unless one sample alone has more."""

SATURATED = 0.95
"""Share of all steps in which a neuron must fire to count as saturated."""


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""The needs of neurons and synapses whose drive is known here, see :mod:`neurodeploy.ir.needs`."""


@dataclass(frozen=True, slots=True)
class Extreme:
    """A register value, and where it stood: sample, row of the node and neuron, all from 0."""

    value: int
    sample: int
    row: int
    neuron: int


@dataclass(frozen=True, slots=True)
class Overflow:
    """The first time that a register was left, what it would have held, and what drove it there."""

    value: int
    sample: int
    row: int
    neuron: int
    source: str


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """A population on calibration data.

    u_low, u_high, v_low, v_high: the extremes, of v after the spike.
    wraps, clips: how often u was wrapped and v was clipped. first_wrap, first_clip: the first of each, or None.
    v_peak: highest v of each neuron, int64 (n,); peak_sample: in which sample.
    fired: steps in which each neuron fired, int64 (n,); spikes: all of them, counts as such.
    cells: steps times samples.
    reference_fired, reference_spikes: the same of the float model, or None.
    """

    u_low: Extreme
    u_high: Extreme
    v_low: Extreme
    v_high: Extreme
    wraps: int
    clips: int
    first_wrap: Overflow | None
    first_clip: Overflow | None
    v_peak: Ints
    peak_sample: Ints
    fired: Ints
    spikes: int
    cells: int
    reference_fired: Ints | None = None
    reference_spikes: int | None = None

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Neurons that never fire."""
        never: NDArray[np.bool_] = self.fired == 0
        return never

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Neurons that never fire and do so in the float model, where that is known."""
        return self.dead if self.reference_fired is None else self.dead & (self.reference_fired > 0)

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """Neurons that fire in nearly all steps and do not so in the float model, where that is known."""
        limit = SATURATED * self.cells
        found = self.fired >= limit
        return found if self.reference_fired is None else found & (self.reference_fired < limit)

    @property
    def is_woken(self) -> bool:
        """Whether it fires here and is known never to do so in the float model."""
        return self.reference_spikes == 0 and self.spikes > 0

    @property
    def is_silent_in_float(self) -> bool:
        """Whether the float model is known not to fire here either."""
        return self.reference_spikes == 0

    def rate(self, spikes: int | None) -> float | None:
        """Return so many spikes by neuron and step."""
        return None if spikes is None else spikes / max(self.cells * self.fired.size, 1)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers."""
        size = max(self.fired.size, 1)
        places = {key: asdict(getattr(self, key)) for key in ("u_low", "u_high", "v_low", "v_high")}
        first = {
            key: None if (one := getattr(self, key)) is None else asdict(one) for key in ("first_wrap", "first_clip")
        }
        return {
            **places,
            "wraps": self.wraps,
            "clips": self.clips,
            **first,
            "never_fire": int(self.dead.sum()) / size,
            "never_fire_but_in_float": None if self.reference_fired is None else int(self.lost.sum()) / size,
            "saturated": int((self.fired >= SATURATED * self.cells).sum()) / size,
            "rate": self.rate(self.spikes),
            "rate_in_float": self.rate(self.reference_spikes),
        }


def observe_on_data(
    program: LoihiProgram, inputs: Inputs, reference: Recording | None = None
) -> dict[str, Observation]:
    """Run a program on calibration data and return what each population does.

    Args:
        program: what to run.
        inputs: ``[T, B, *shape]`` for each input.
        reference: what the float model does on the same data, in its own rows, or None.

    Raises:
        DeployError: the data does not fit the program, or it has neurons or synapses of other kinds.
    """
    refuse_missing(program.parts, CAN, "the observation on calibration data")
    program, inputs = with_payloads(program, inputs)
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    width = n_steps * sum(population.size for population in program.populations)
    at_once = max(1, VALUES_PER_RUN // max(width, 1))
    found: dict[str, Observation] = {}
    for first in range(0, n_samples, at_once):
        part = {name: values[:, first : first + at_once] for name, values in inputs.items()}
        recording = emulate(program, part, ("spikes", "u", "v"))
        for index, population in enumerate(program.populations):
            if population.size and not population.helps:
                one = _later(_observe(program, index, part, recording), first)
                name = population.name
                found[name] = one if name not in found else _joined(found[name], one)
    return {name: _with_reference(one, name, reference) for name, one in found.items()}


def with_payloads(program: LoihiProgram, inputs: Inputs) -> tuple[LoihiProgram, Inputs]:
    """Return inputs as whole numbers, scaled once and for all, and the program that takes them as they are.

    Raises:
        DeployError: the data does not fit the program.
    """
    return replace(program, input_scale={}), chip_inputs(program, inputs)


def emulate(program: LoihiProgram, inputs: Inputs, record: tuple[str, ...] = ("spikes",)) -> Recording:
    """Run a program on the emulator.

    Args:
        program: what to run.
        inputs: ``[T, B, *shape]`` for each input.
        record: which of ``spikes``, ``v``, ``u``.
    """
    from neurodeploy.families.loihi.emulator import run

    entering = chip_inputs(program, inputs)
    found = run.emulate(program, entering, RunOptions(record=record, nodes=tuple(program.latency)))
    return found.recording(program, len(next(iter(entering.values()))))


def _observe(program: LoihiProgram, index: int, inputs: Inputs, recording: Recording) -> Observation:
    population = program.populations[index]
    nodes = recording.nodes[population.name]
    n_steps, n_samples = recording.n_steps, recording.n_samples
    u, v = (nodes[key].reshape(n_steps, n_samples, -1) for key in ("u", "v"))
    sent = nodes["spikes"].reshape(v.shape) if "spikes" in nodes else np.zeros(v.shape, np.uint8)
    peaks = v.max(axis=0).astype(np.int64)
    wraps, clips = (recording.counters[key][..., index] for key in ("u_wraps", "v_clips"))
    return Observation(
        _extreme(u, np.argmin),
        _extreme(u, np.argmax),
        _extreme(v, np.argmin),
        _extreme(v, np.argmax),
        int(wraps.sum()),
        int(clips.sum()),
        _first(program, population, inputs, recording, wraps, "u"),
        _first(program, population, inputs, recording, clips, "v"),
        v_peak=peaks.max(axis=0),
        peak_sample=peaks.argmax(axis=0),
        fired=np.count_nonzero(sent, axis=(0, 1)).astype(np.int64),
        spikes=_total(sent),
        cells=n_steps * n_samples,
    )


def _later(one: Observation, first: int) -> Observation:
    """Return an observation of samples that are counted from ``first``."""
    keys = ("u_low", "u_high", "v_low", "v_high", "first_wrap", "first_clip")
    places = {key: place for key in keys if (place := getattr(one, key)) is not None}
    moved: dict[str, Any] = {key: replace(place, sample=place.sample + first) for key, place in places.items()}
    return replace(one, peak_sample=one.peak_sample + first, **moved)


def _extreme(values: NDArray[Any], find: Any) -> Extreme:
    row, sample, neuron = np.unravel_index(int(find(values)), values.shape)
    return Extreme(int(values[row, sample, neuron]), int(sample), int(row), int(neuron))


def _first(
    program: LoihiProgram,
    population: LoihiPopulation,
    inputs: Inputs,
    recording: Recording,
    counts: NDArray[np.int64],
    register: str,
) -> Overflow | None:
    """Return the first time that a register was left, in order of samples, and what drove it there most."""
    from neurodeploy.families.loihi.step import wrap

    if not counts.any():
        return None
    sample, row = (int(place) for place in np.argwhere(counts.T)[0])
    parts = _arriving(program, population, inputs, recording, sample, row)
    u, v = (recording.nodes[population.name][key].reshape(*counts.shape, -1).astype(np.int64) for key in ("u", "v"))
    before = (u[row - 1, sample], v[row - 1, sample]) if row else (population.u_init, population.v_init)
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    current = decay(before[0].astype(np.int64), population.du.astype(np.int64) + 1)
    current = current + sum(parts.values(), start=np.zeros_like(current))
    if register == "u":
        wanted = current
    else:
        # What is recorded of a current that a spike clears is no longer what v saw.
        seen = wrap(current, find_arithmetic(program.arithmetic)) if population.model.clears_u else u[row, sample]
        wanted = decay(before[1].astype(np.int64), population.dv.astype(np.int64)) + seen + bias
        wanted = wanted + _unrecorded(program, population, inputs, recording, sample, row)
        parts["its bias"] = bias
    neuron = int(np.abs(wanted).argmax())
    sign = 1 if wanted[neuron] > 0 else -1
    moved = {name: sign * int(part[neuron]) for name, part in parts.items()}
    source = max(moved, key=lambda name: moved[name], default="")
    if not source or moved[source] <= 0:
        source = "earlier input"
    return Overflow(int(wanted[neuron]), sample, row, neuron, source)


def _unrecorded(
    program: LoihiProgram, population: LoihiPopulation, inputs: Inputs, recording: Recording, sample: int, row: int
) -> Ints:
    """Return what a second current adds to v in a row, less what an adaptation takes from it."""
    from neurodeploy.families.loihi.step import wrap

    second, lowered = (np.zeros(population.size, np.int64) for _ in range(2))
    model, sent = population.model, recording.nodes[population.name].get("spikes")
    rows = range(row + 1) if population.du_second is not None or model.adapts == "v" else ()
    fired = np.zeros(population.size, np.int64)
    for t in rows:
        before, fired = fired, np.zeros_like(fired) if sent is None else sent[t, sample].reshape(-1).astype(np.int64)
        if population.du_second is not None:
            arriving = sum(_arriving(program, population, inputs, recording, sample, t).values(), np.zeros_like(second))
            second = decay(second, population.du_second.astype(np.int64) + 1) - arriving
            second = wrap(second, find_arithmetic(program.arithmetic))
        if t == row:
            break
        if model.clears_u:
            second = np.where((fired if model.clears_u == "now" else before) != 0, 0, second)
        if model.adapts == "v" and population.adapt_decay is not None and population.adapt_step is not None:
            lowered = decay(lowered, population.adapt_decay.astype(np.int64)) + fired * population.adapt_step
            lowered = np.clip(lowered, 1 - STATE_LIMIT, STATE_LIMIT - 1)
    return second - lowered


def _arriving(
    program: LoihiProgram, population: LoihiPopulation, inputs: Inputs, recording: Recording, sample: int, row: int
) -> dict[str, Ints]:
    """Return what each projection delivers in a row, register units; what was sent before row 0 is left out."""
    from neurodeploy.families.loihi.definition import synapses

    arithmetic, latency = find_arithmetic(program.arithmetic), program.latency
    parts: dict[str, Ints] = {}
    for p in program.projections:
        if p.target != population.name:
            continue
        sent = row + population.latency - p.delay - latency.get(p.source, 0)
        rows = inputs[p.source] if p.source in inputs else recording.spikes(p.source)
        if 0 <= sent < len(rows):
            arriving = rows[sent, sample][np.newaxis].astype(np.int64)
            parts[p.name] = parts.get(p.name, np.int64(0)) + (synapses(p, arriving, arithmetic)[0] << ALIGN_BITS)
    return parts


def _joined(one: Observation, other: Observation) -> Observation:
    """Return two observations of different samples, the first ones first, as one."""
    higher = other.v_peak > one.v_peak
    return Observation(
        min(one.u_low, other.u_low, key=lambda e: e.value),
        max(one.u_high, other.u_high, key=lambda e: e.value),
        min(one.v_low, other.v_low, key=lambda e: e.value),
        max(one.v_high, other.v_high, key=lambda e: e.value),
        one.wraps + other.wraps,
        one.clips + other.clips,
        one.first_wrap or other.first_wrap,
        one.first_clip or other.first_clip,
        np.where(higher, other.v_peak, one.v_peak),
        np.where(higher, other.peak_sample, one.peak_sample),
        one.fired + other.fired,
        one.spikes + other.spikes,
        one.cells + other.cells,
    )


def _with_reference(one: Observation, name: str, reference: Recording | None) -> Observation:
    sent = None if reference is None else reference.nodes.get(name, {}).get("spikes")
    if sent is None:
        return one
    flat = sent.reshape(prod(sent.shape[:2]), -1)
    fired = np.count_nonzero(flat, axis=0).astype(np.int64)
    return replace(one, reference_fired=fired, reference_spikes=_total(flat))


def _total(sent: NDArray[Any]) -> int:
    return int((np.abs(sent) if sent.dtype.kind == "i" else sent).sum(dtype=np.int64))

"""Choose each neuron's shifts and threshold, so that it fires as often as the float model's on calibration data.

Every choice is run through the chip's own integers, given what the coded layers before send; neurons of a layer do not
see each other within a step, so that all choices of all neurons run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.codes import STATE_MAX, STATE_MIN, XyloNeurons
from neurodeploy.families.xylo.decays import dash_pairs, rise, rise_of_bias
from neurodeploy.families.xylo.exactness import spikes_in_a_step
from neurodeploy.families.xylo.kernel import run_alone
from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.population import NEVER_FIRES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COARSE = tuple(np.geomspace(0.7, 1.4, 15).tolist())
"""Factors on thresholds that are tried first; the finer ones lie around the best of them."""

WIDE = tuple(np.geomspace(0.7, 8.0, 36).tolist())
"""The same where the model sends fewer spikes in a step than the chip does when v holds several thresholds."""

FINE = tuple(np.geomspace(0.953, 1.049, 15).tolist())

DRIFTS = (
    tuple(product((-0.3, -0.15, 0.15, 0.3), (0.94, 0.97, 1.0, 1.03, 1.06))),
    tuple(product((-0.08, -0.04, 0.0, 0.04, 0.08), (0.98, 0.99, 1.0, 1.01, 1.02))),
)
"""Biases, as the share of the threshold at which v then settles, that are tried with factors around the best one."""

COMMON = (1.0, 0.97, 1.03, 0.94, 1.06, 0.9, 1.1, 0.85, 1.15, 0.8, 1.2, 1.5, 2.0, 3.0, 4.0)
"""Factors on all thresholds of neurons that feed themselves; the nearest to 1 first, so that a tie changes nothing."""

MAX_DRIFT = 0.35
"""Most of them together: a bias that makes up for other decays must not make a resting neuron fire."""

WEIGHT_OF_TIMES = 0.5
"""Of the times of hidden neurons' spikes, beside their counts; of outputs, counts are what is read."""

MAX_EVENTS = 200_000_000
"""Neurons times steps, samples and choices at most for one comparison; of more samples, the first are taken."""

MOST_CHOICES = len(WIDE)

EVENTS_AT_ONCE = 40_000_000
"""Of these, what one run holds."""

FEWEST_SPIKES = 20
"""Spikes of a neuron on calibration data, and errors, below which its registers stay as they were rounded."""


@dataclass(frozen=True, eq=False, slots=True)
class Registers:
    """Registers of a population; every array is int64 (n,), or float64 (n,).

    factor: on the threshold, beside the one that answers to spikes as the model's does; of an integrator, on v's unit.
    drift: what the bias has beyond the model's, as the share of the threshold at which v then settles.
    """

    dash_syn: Ints
    dash_mem: Ints
    threshold_code: Ints
    bias_code: Ints
    factor: Floats
    drift: Floats

    def neurons(self) -> XyloNeurons:
        """Return them as a configuration has them."""
        return XyloNeurons(self.dash_syn[np.newaxis], self.dash_mem, self.threshold_code, self.bias_code)


@dataclass(frozen=True, eq=False, slots=True)
class Task:
    """A population that needs registers.

    form: in the chip's form. units: float64 (n,), register units per volt that a weight brings.
    meets: whether v at the threshold fires. role: ``hidden`` or ``output``.
    capped: whether the model sends fewer spikes in a step than the chip may.
    dash_syn, dash_mem: int64 (n,), shifts that are given, or None.
    """

    form: NeuronForm
    units: Floats
    meets: bool
    role: str
    capped: bool = False
    dash_syn: Ints | None = None
    dash_mem: Ints | None = None

    def pairs(self) -> list[tuple[tuple[int, int], ...]]:
        """Return the shifts of each neuron that come into question, of the current and of v; the nearest first."""
        found = [dash_pairs(*both) for both in zip(self.form.keep_syn, self.form.keep_mem, strict=True)]
        for place, given in enumerate((self.dash_syn, self.dash_mem)):
            for k, dash in enumerate([] if given is None else given.tolist()):
                fixed = [(dash, mem) if place == 0 else (syn, dash) for syn, mem in found[k]]
                found[k] = tuple(dict.fromkeys(fixed))
        return found

    @property
    def fires(self) -> bool:
        """Whether it sends spikes."""
        return bool(np.isfinite(self.form.threshold).all())

    @property
    def most(self) -> int:
        """Spikes in a step at most."""
        return spikes_in_a_step(self.role)

    def registers(self, dash_syn: Ints, dash_mem: Ints, factor: Floats, drift: Floats) -> Registers:
        """Return the registers for shifts, a factor on the threshold and a drift; each of shape (n,).

        Args:
            dash_syn, dash_mem: shifts, int64 (n,).
            factor: on the threshold, beside the one that answers to spikes as the model's does, float64 (n,).
            drift: what the bias has beyond the model's, float64 (n,), see :class:`Registers`.
        """
        form = self.form
        rises, of_bias = rises_of(form, dash_syn, dash_mem)
        threshold, drift = np.full(len(factor), float(NEVER_FIRES)), np.clip(drift, -MAX_DRIFT, MAX_DRIFT)
        if self.fires:
            threshold = np.rint(form.threshold * self.units * rises * factor) + (not self.meets)
        threshold = np.clip(threshold, 1, STATE_MAX)
        bias = form.bias * self.units * rises * factor / of_bias + drift * threshold / 2.0**dash_mem
        codes = np.clip(np.rint(bias), STATE_MIN, STATE_MAX).astype(np.int64)
        return Registers(dash_syn, dash_mem, threshold.astype(np.int64), codes, factor, drift)

    def units_of_v(self, registers: Registers) -> Floats:
        """Return register units of v per volt of the model, float64 (n,): a threshold is a threshold."""
        if self.fires:
            found: Floats = registers.threshold_code / self.form.threshold
            return found
        return self.units * rises_of(self.form, registers.dash_syn, registers.dash_mem)[0] * registers.factor

    def changed(self, registers: Registers, factor: float, drift: float = 0.0) -> Registers:
        """Return registers with thresholds times one more factor, and one more drift.

        Args:
            registers: the registers to start from.
            factor: on all thresholds, beside those that they have.
            drift: added to those that they have, see :class:`Registers`.
        """
        factors, drifts = registers.factor * factor, registers.drift + drift
        return self.registers(registers.dash_syn, registers.dash_mem, factors, drifts)


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """What choices are measured with.

    drive: uint8 [T, B, n_sources], spikes in the steps in which they act. weight: int16 (n_sources, 1, n), shifted.
    wanted: uint8 [T, B, n], spikes of the float model. own: bool (n_sources,), sources that are the neurons themselves.
    latency: steps of the chip before the model's first, in which biases act already.
    """

    drive: NDArray[np.uint8]
    weight: NDArray[np.int16]
    wanted: NDArray[np.uint8]
    own: NDArray[np.bool_]
    latency: int = 0

    def sent(self, registers: Registers, task: Task) -> NDArray[np.uint8]:
        """Return what neurons send, uint8 [T, B, n], where they hear their own spikes instead of the model's."""
        own = self.weight[self.own] if self.own.any() else None
        drive = self._ahead(self.drive[:, :, ~self.own])
        return run_alone(drive, self.weight[~self.own], registers.neurons(), task.most, own)[self.latency :]

    def error(self, choices: list[Registers], task: Task) -> Floats:
        """Return the mean absolute error of each choice and neuron, float64 (n_choices, n).

        Of outputs it is that of counts; of hidden neurons half of it is that of counts up to each step.
        """
        n_steps, n_samples, n = self.wanted.shape
        events = max(n * n_steps * MOST_CHOICES, 1)
        n_samples = min(n_samples, max(1, MAX_EVENTS // events))
        neurons, weight = _side_by_side(choices), np.tile(self.weight, (1, 1, len(choices)))
        found: Floats = np.zeros((len(choices), n))
        for first in range(0, n_samples, block := max(1, EVENTS_AT_ONCE // events)):
            part = slice(first, min(first + block, n_samples))
            drive = self._ahead(self.drive[:, part])
            spikes = run_alone(drive, weight, neurons, task.most)[self.latency :]
            wanted = np.cumsum(self.wanted[:, part], axis=0, dtype=np.int32)
            for k in range(len(choices)):
                sent = np.cumsum(spikes[:, :, k * n : (k + 1) * n], axis=0, dtype=np.int32)
                found[k] += _distance(sent, wanted, WEIGHT_OF_TIMES if task.role == "hidden" else 0.0)
        found /= n_samples
        return found

    def _ahead(self, drive: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what arrives with the steps before the model's first."""
        return np.concatenate([np.zeros((self.latency, *drive.shape[1:]), np.uint8), drive])


def nearest_registers(task: Task) -> Registers:
    """Return registers without data: the shifts that answer most like the model, thresholds as they are."""
    pairs = [near[0] for near in task.pairs()]
    dash_syn, dash_mem = np.array(pairs, np.int64).reshape(-1, 2).T
    return task.registers(dash_syn, dash_mem, np.ones(len(pairs)), np.zeros(len(pairs)))


def calibrated_registers(task: Task, trial: Trial) -> Registers:
    """Return the registers with which each neuron's spikes are nearest to the float model's.

    Args:
        task: the population.
        trial: what it receives, and what it should send.
    """
    start, ahead = nearest_registers(task), task.pairs()
    best = start
    least = rounded = trial.error([start], task)[0]

    def better_of(choices: list[Registers]) -> None:
        nonlocal best, least
        best, least = _best([best, *choices], np.stack([least, *trial.error(choices, task)]))

    for rank in range(max((len(pairs) for pairs in ahead), default=0)):
        dash_syn, dash_mem = np.array([pairs[min(rank, len(pairs) - 1)] for pairs in ahead], np.int64).T
        own = task.registers(dash_syn, dash_mem, start.factor, start.drift)
        rough = [task.changed(own, factor) for factor in (WIDE if task.capped else COARSE)]
        found, _ = _best(rough, trial.error(rough, task))
        better_of([task.changed(found, factor) for factor in FINE])
    for options in DRIFTS:
        better_of([task.changed(best, factor, drift) for drift, factor in options])
    few = np.maximum(trial.wanted.sum(axis=(0, 1), dtype=np.int64), rounded * trial.wanted.shape[1]) < FEWEST_SPIKES
    return _chosen([best, start], few.astype(np.int64))


def with_common_factor(task: Task, registers: Registers, trial: Trial) -> Registers:
    """Return the registers of neurons that feed themselves, with one more factor on all thresholds.

    Each was fitted while the model's spikes came back; the factor makes up for those that the chip's own bring instead.

    Args:
        task: the population.
        registers: as each neuron was fitted by itself.
        trial: the spikes that come in, and those that are wanted.
    """
    wanted = trial.wanted.sum(axis=0, dtype=np.int64)
    tried = [task.changed(registers, factor) for factor in COMMON]
    errors = [np.abs(trial.sent(one, task).sum(axis=0, dtype=np.int64) - wanted).mean() for one in tried]
    return tried[int(np.argmin(errors))]


def _distance(sent: NDArray[np.int32], wanted: NDArray[np.int32], weight_of_times: float) -> Floats:
    """Return the distance of counts up to each step, [T, B, n], summed over the samples, float64 (n,)."""
    found: Floats = np.abs(sent[-1] - wanted[-1]).sum(axis=0).astype(np.float64)
    if weight_of_times:
        of_times = np.abs(sent - wanted).sum(axis=1).mean(axis=0)
        found = (1 - weight_of_times) * found + weight_of_times * of_times
    return found


def _side_by_side(choices: list[Registers]) -> XyloNeurons:
    """Return the neurons of all choices as one population."""
    keys = ("dash_syn", "dash_mem", "threshold_code", "bias_code")
    syn, mem, threshold, bias = (np.concatenate([getattr(c, key) for c in choices]) for key in keys)
    return XyloNeurons(syn[np.newaxis], mem, threshold, bias)


def _best(choices: list[Registers], errors: Floats) -> tuple[Registers, Floats]:
    """Return for each neuron the choice with the least error, the first of several, and that error."""
    index = errors.argmin(axis=0)
    return _chosen(choices, index), errors[index, np.arange(errors.shape[1])]


def _chosen(choices: list[Registers], index: Ints) -> Registers:
    neurons = np.arange(len(index))
    keys = [field.name for field in fields(Registers)]
    return Registers(*(np.stack([getattr(c, key) for c in choices])[index, neurons] for key in keys))


def rises_of(form: NeuronForm, dash_syn: Ints, dash_mem: Ints) -> tuple[Floats, Floats]:
    """Return by how much the chip's answers to a spike, and to a bias, are larger than the model's, float64 (n,).

    Args:
        form: the population in the chip's form.
        dash_syn, dash_mem: the chip's shifts, int64 (n,).
    """
    rises, of_bias = np.ones(len(dash_syn)), np.ones(len(dash_syn))
    rows = np.stack([form.keep_syn, form.keep_mem, dash_syn, dash_mem], axis=1)
    for row in np.unique(rows, axis=0):
        same, (syn, mem) = (rows == row).all(axis=1), (int(row[2]), int(row[3]))
        rises[same], of_bias[same] = rise(row[0], row[1], syn, mem), rise_of_bias(row[1], mem)
    return rises, of_bias

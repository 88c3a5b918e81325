"""Choose each neuron's shifts and threshold, so that it fires as often as the float model's on calibration data.

Every choice is run through the chip's own integers, given what the coded layers before send; neurons of a layer do not
see each other within a step, so that all choices of all neurons run side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.codes import HIDDEN_MAX, OUTPUT_MAX, STATE_MAX, STATE_MIN, XyloNeurons
from neurodeploy.families.xylo.decays import dash_pairs, rise, rise_of_bias
from neurodeploy.families.xylo.kernel import run_alone
from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.population import NEVER_FIRES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COARSE = tuple(np.geomspace(0.7, 1.4, 15).tolist())
"""Factors on thresholds that are tried first; the finer ones lie around the best of them."""

FINE = tuple(np.geomspace(0.953, 1.049, 15).tolist())

MAX_EVENTS = 1_000_000_000
"""Neurons times steps, samples and choices at most in one run; of more samples, the first are taken."""

FEWEST_SPIKES = 20
"""Spikes of a neuron on calibration data, of the float model, below which its threshold stays as it was rounded."""


@dataclass(frozen=True, eq=False, slots=True)
class Registers:
    """Registers of a population; every array is int64 (n,), and factor float64 (n,).

    factor: of the threshold, beside the one that answers to spikes as the model's does.
    """

    dash_syn: Ints
    dash_mem: Ints
    threshold_code: Ints
    bias_code: Ints
    factor: Floats

    def neurons(self) -> XyloNeurons:
        """Return them as a configuration has them."""
        return XyloNeurons(self.dash_syn[np.newaxis], self.dash_mem, self.threshold_code, self.bias_code)


@dataclass(frozen=True, eq=False, slots=True)
class Task:
    """A population that needs registers.

    form: in the chip's form. units: float64 (n,), register units per volt. meets: whether v at the threshold fires.
    role: ``hidden`` or ``output``.
    """

    form: NeuronForm
    units: Floats
    meets: bool
    role: str

    @property
    def fires(self) -> bool:
        """Whether it sends spikes."""
        return bool(np.isfinite(self.form.threshold).all())

    @property
    def most(self) -> int:
        """Spikes in a step at most."""
        return HIDDEN_MAX if self.role == "hidden" else OUTPUT_MAX

    def registers(self, dash_syn: Ints, dash_mem: Ints, factor: Floats) -> Registers:
        """Return the registers for shifts and a factor on the threshold; each of shape (n,)."""
        form = self.form
        rises, of_bias = _rises(form, dash_syn, dash_mem)
        threshold = np.full(len(factor), NEVER_FIRES)
        if self.fires:
            threshold = np.rint(form.threshold * self.units * rises * factor) + (not self.meets)
        bias = np.rint(form.bias * self.units * rises * factor / of_bias)
        return Registers(
            dash_syn,
            dash_mem,
            np.clip(threshold, 1, STATE_MAX).astype(np.int64),
            np.clip(bias, STATE_MIN, STATE_MAX).astype(np.int64),
            factor,
        )


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """What choices are measured with.

    drive: uint8 [T, B, n_sources], spikes in the steps in which they act. weight: int16 (n_sources, 1, n), shifted.
    wanted: int64 (B, n), spikes of the float model.
    """

    drive: NDArray[np.uint8]
    weight: NDArray[np.int16]
    wanted: Ints

    def error(self, choices: list[Registers], most: int) -> Floats:
        """Return the mean absolute error of counts of each choice and neuron, float64 (n_choices, n)."""
        n, (n_steps, n_samples) = self.wanted.shape[1], self.drive.shape[:2]
        n_samples = min(n_samples, max(1, MAX_EVENTS // max(n * len(choices) * n_steps, 1)))
        keys = ("dash_syn", "dash_mem", "threshold_code", "bias_code")
        syn, mem, threshold, bias = (np.concatenate([getattr(c, key) for c in choices]) for key in keys)
        weight = np.tile(self.weight, (1, 1, len(choices)))
        neurons = XyloNeurons(syn[np.newaxis], mem, threshold, bias)
        spikes = run_alone(np.ascontiguousarray(self.drive[:, :n_samples]), weight, neurons, most)
        counts = spikes.sum(axis=0, dtype=np.int64).reshape(n_samples, len(choices), n)
        error: Floats = np.abs(counts - self.wanted[:n_samples, np.newaxis]).mean(axis=0)
        return error


def nearest_registers(task: Task) -> Registers:
    """Return registers without data: the shifts that answer most like the model, thresholds as they are."""
    pairs = [dash_pairs(*both)[0] for both in zip(task.form.keep_syn, task.form.keep_mem, strict=True)]
    dash_syn, dash_mem = np.array(pairs, np.int64).reshape(-1, 2).T
    return task.registers(dash_syn, dash_mem, np.ones(len(pairs)))


def calibrated_registers(task: Task, trial: Trial) -> Registers:
    """Return the registers with which each neuron's counts are nearest to the float model's.

    Args:
        task: the population.
        trial: what it receives, and what it should send.
    """
    start = nearest_registers(task)
    if not task.fires:
        return start
    ahead = [dash_pairs(*both) for both in zip(task.form.keep_syn, task.form.keep_mem, strict=True)]
    best, least = start, trial.error([start], task.most)[0]
    for rank in range(max(len(pairs) for pairs in ahead)):
        dash_syn, dash_mem = np.array([pairs[min(rank, len(pairs) - 1)] for pairs in ahead], np.int64).T
        rough = [task.registers(dash_syn, dash_mem, np.full(len(ahead), f)) for f in COARSE]
        found, errors = _best(rough, trial.error(rough, task.most))
        fine = [task.registers(dash_syn, dash_mem, found.factor * f) for f in FINE]
        found, errors = _best([found, *fine], np.stack([errors, *trial.error(fine, task.most)]))
        best, least = _best([best, found], np.stack([least, errors]))
    silent = trial.wanted.sum(axis=0) < FEWEST_SPIKES
    return _chosen([best, start], silent.astype(np.int64))


def _best(choices: list[Registers], errors: Floats) -> tuple[Registers, Floats]:
    """Return for each neuron the choice with the least error, the first of several, and that error."""
    index = errors.argmin(axis=0)
    return _chosen(choices, index), errors[index, np.arange(errors.shape[1])]


def _chosen(choices: list[Registers], index: Ints) -> Registers:
    neurons = np.arange(len(index))
    keys: Iterable[str] = ("dash_syn", "dash_mem", "threshold_code", "bias_code", "factor")
    return Registers(*(np.stack([getattr(c, key) for c in choices])[index, neurons] for key in keys))


def with_factor(task: Task, registers: Registers, factor: float) -> Registers:
    """Return registers with all thresholds times one more factor."""
    return replace(task.registers(registers.dash_syn, registers.dash_mem, registers.factor * factor))


def _rises(form: NeuronForm, dash_syn: Ints, dash_mem: Ints) -> tuple[Floats, Floats]:
    """Return by how much the chip's answers to a spike, and to a bias, are larger than the model's, float64 (n,)."""
    rises, of_bias = np.ones(len(dash_syn)), np.ones(len(dash_syn))
    rows = np.stack([form.keep_syn, form.keep_mem, dash_syn, dash_mem], axis=1)
    for row in np.unique(rows, axis=0):
        same, (syn, mem) = (rows == row).all(axis=1), (int(row[2]), int(row[3]))
        rises[same], of_bias[same] = rise(row[0], row[1], syn, mem), rise_of_bias(row[1], mem)
    return rises, of_bias

"""Sentences on what a network's integers do otherwise than the float model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import counted
from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import STATE_MAX, STATE_MIN, WEIGHT_RANGE
from neurodeploy.families.xylo.decays import kept, misfit
from neurodeploy.families.xylo.exactness import spikes_beyond
from neurodeploy.families.xylo.kernel import run as run_codes
from neurodeploy.families.xylo.layout import Layout
from neurodeploy.families.xylo.synapses import DenseSynapses, Placed
from neurodeploy.families.xylo.thresholds import Registers, Task
from neurodeploy.ir.network import Network, Population

SATURATION_SAMPLES = 64
"""Samples on which registers are watched."""

NO_DATA = "there is no calibration data: scales and thresholds were fitted on random spikes"
"""Said of every network that is quantised without data."""

MOST_KINDS = 4
"""Pairs of decays and shifts that are said one by one; of more, the worst."""

FAR = 0.01
"""Share of the answer to a spike that may be lost without a word."""


@dataclass(frozen=True, eq=False, slots=True)
class Coding:
    """A coded population: what was asked, its registers, its synapses, and the shifts of the matrices.

    weights: codes of each part, int16 (n_out, n_in).
    """

    name: str
    task: Task
    registers: Registers
    parts: tuple[DenseSynapses, ...]
    weights: tuple[NDArray[np.int16], ...]
    shifts: dict[str, int]


def loss_sentences(
    network: Network, placed: Placed, codings: list[Coding], layout: Layout, spikes: Activity | None
) -> tuple[str, ...]:
    """Return all losses.

    Args:
        network: the float network.
        placed: where its populations lie.
        codings: all populations in integers.
        layout: the configuration.
        spikes: what the float model and the integers send on calibration data, or None.
    """
    found = []
    for coding in codings:
        population, role = network.population(coding.name), placed.roles[coding.name]
        found += _decays(coding) + _least_leak(coding) + _spikes(population, coding, spikes)
        found += _clipped(coding) + _biases(coding, placed.latency[coding.name])
        if coding.name in network.outputs and role == "hidden":
            found.append(
                f"{coding.name} is read, but lies in the hidden layer, as it feeds others or is fed by an input;"
                " simulators record it, and the chip reports outputs alone"
            )
    if spikes is None:
        return (*found, NO_DATA)
    return (*found, *_saturation(network, layout, spikes))


def _clipped(coding: Coding) -> list[str]:
    """Return how many weights are larger than codes are, where a plan gives the units."""
    (low, high), found = WEIGHT_RANGE, []
    for part, codes in zip(coding.parts, coding.weights, strict=True):
        at_end = (codes == low) | (codes == high)
        scale = coding.task.form.gain * coding.task.units / 2.0 ** coding.shifts[part.matrix]
        whole = part.weight * scale[:, np.newaxis]
        clipped = at_end & ((whole < low - 0.5) | (whole > high + 0.5))
        if n := int(clipped.sum()):
            times = float(np.abs(whole[clipped]).max() / high)
            found.append(
                f"{part.source} -> {coding.name}: {counted(n, 'weight')} of {codes.size} are clipped, up to {times:.3g}"
                " times as large as codes are; smaller codes_per_volt or channel_gain in the plan, or a larger exponent"
                " there, hold them"
            )
    return found


def _decays(coding: Coding) -> list[str]:
    """Return how far the shifts of a population lie from its decays: each kind, or the worst of many."""
    form, registers, found = coding.task.form, coding.registers, []
    rows = np.stack([form.keep_syn, form.keep_mem, registers.dash_syn, registers.dash_mem], axis=1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    lost = np.array([misfit(syn, mem, int(dash_syn), int(dash_mem)) for syn, mem, dash_syn, dash_mem in kinds])
    far = np.flatnonzero(lost > FAR)
    if len(far) > MOST_KINDS:
        mean = (lost[far] @ counts[far]) / counts[far].sum()
        found.append(
            f"{coding.name}: no shifts are the decays of {counts[far].sum()} of {counts.sum()} neurons, so that"
            f" {100 * mean:.2g} % of the answer to a spike has another form on average"
        )
        far = np.array([lost.argmax()])
    for k in far:
        keep_syn, keep_mem, syn, mem = kinds[k]
        found.append(
            f"{coding.name}: of {counts[k]} of {counts.sum()} neurons the current keeps {keep_syn:.4g} and v"
            f" {keep_mem:.4g} in a step, on the chip {kept(int(syn)):.4g} (dash_syn {int(syn)}) and"
            f" {kept(int(mem)):.4g} (dash_mem {int(mem)}), so that {100 * lost[k]:.2g} % of the answer to a spike has"
            " another form"
        )
    return found


def _least_leak(coding: Coding) -> list[str]:
    """Return where the leak's least, 1 register unit a step, is all of it."""
    registers = coding.registers
    linear = registers.threshold_code >> registers.dash_mem == 0
    if not coding.task.fires or not linear.any():
        return []
    share = 100 / registers.threshold_code[linear].min()
    return [
        f"{coding.name}: v of {linear.sum()} of {linear.size} neurons loses 1 register unit a step, as no register"
        f" loses less: up to {share:.2g} % of the threshold"
    ]


def _spikes(population: Population, coding: Coding, spikes: Activity | None) -> list[str]:
    """Return by how much counts differ, and where the chip sends more spikes in a step than the model, or fewer."""
    beyond = spikes_beyond(population, coding.task.role)
    if spikes is None:
        said = "; without calibration data nobody can say how often that matters"
        return [f"{coding.name} {beyond}{said}"] if beyond else []
    if not coding.task.fires:
        return []
    wanted, sent = spikes.sent[coding.name], spikes.coded[coding.name]
    counts = [values.sum(axis=0, dtype=np.int64) for values in (wanted, sent)]
    found = [
        f"{coding.name}: on calibration data counts of a sample and neuron differ by"
        f" {np.abs(counts[1] - counts[0]).mean():.3g} on average; the float model's are {counts[0].mean():.3g}"
    ]
    most = min(population.rule.max_spikes or coding.task.most, coding.task.most)
    if beyond and (n := int(((wanted > most) | (sent > most)).sum())):
        found.append(f"{coding.name} {beyond}; on calibration data that matters {counted(n, 'time')}")
    return found


def _biases(coding: Coding, latency: int) -> list[str]:
    """Return where a bias acts sooner than in the model."""
    form, found = coding.task.form, []
    if form.late_bias.any():
        found.append(
            f"{coding.name}: the bias of its synapses acts through a current in the model, and on v from the first step"
            f" on the chip ({np.abs(form.late_bias).max():.3g} V per step at most)"
        )
    if latency and form.bias.any():
        found.append(f"{coding.name}: its bias acts {counted(latency, 'step')} before the model's first")
    return found


def _saturation(network: Network, layout: Layout, spikes: Activity) -> list[str]:
    """Return which populations' registers saturate on some samples of calibration data."""
    some = {name: spikes.sent[name][:, :SATURATION_SAMPLES] for name in network.inputs}
    run, found = run_codes(layout.codes, layout.counts(some)), []
    for population in network.populations:
        rows = layout.rows(run, population.name)
        ends = {key: ((rows[key] == STATE_MIN) | (rows[key] == STATE_MAX)) for key in ("i", "v")}
        hit = (ends["i"] | ends["v"]).reshape(-1, population.size).any(axis=0)
        if hit.any():
            found.append(
                f"{population.name}: registers of {hit.sum()} of {population.size} neurons reach their ends on"
                " calibration data"
            )
    return found

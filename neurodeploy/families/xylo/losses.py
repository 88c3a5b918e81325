"""What a network's integers do otherwise than the float model, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import counted
from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.decays import kept, misfit
from neurodeploy.families.xylo.exactness import spikes_beyond
from neurodeploy.families.xylo.synapses import DenseSynapses, Placed
from neurodeploy.families.xylo.thresholds import Registers, Task
from neurodeploy.ir.network import Network

FAR = 0.01
"""Share of the answer to a spike that may be lost without a word."""


@dataclass(frozen=True, eq=False, slots=True)
class Coding:
    """A coded population: what was asked, its registers, and its synapses with their codes, int16 (n_out, n_in)."""

    name: str
    task: Task
    registers: Registers
    parts: tuple[DenseSynapses, ...]
    weights: tuple[NDArray[np.int16], ...]


def loss_sentences(network: Network, placed: Placed, codings: list[Coding], spikes: Activity | None) -> tuple[str, ...]:
    """Return all losses.

    Args:
        network: the float network.
        placed: where its populations lie.
        codings: all populations in integers.
        spikes: what the float model and the integers send on calibration data, or None.
    """
    found = []
    for coding in codings:
        found += _decays(coding) + _counts(network, coding, spikes) + _late_bias(coding)
        if coding.name in network.outputs and placed.roles[coding.name] == "hidden":
            found.append(
                f"{coding.name} is read, but lies in the hidden layer, as it feeds others or is fed by an input;"
                " simulators record it, and the chip reports outputs alone"
            )
    return tuple(found)


def _decays(coding: Coding) -> list[str]:
    """Return how far the shifts of a population lie from its decays."""
    form, registers = coding.task.form, coding.registers
    rows = np.stack([form.keep_syn, form.keep_mem, registers.dash_syn, registers.dash_mem], axis=1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    found = []
    for (keep_syn, keep_mem, syn, mem), n in zip(kinds, counts.tolist(), strict=True):
        lost = misfit(keep_syn, keep_mem, int(syn), int(mem))
        if lost > FAR:
            found.append(
                f"{coding.name}: {counted(n, 'neuron')} keep {keep_syn:.4g} of the current and {keep_mem:.4g} of v in a"
                f" step; the chip's keep {kept(int(syn)):.4g} (dash_syn {int(syn)}) and {kept(int(mem)):.4g} (dash_mem"
                f" {int(mem)}), so that {100 * lost:.2g} % of the answer to a spike has another form"
            )
    return found


def _counts(network: Network, coding: Coding, spikes: Activity | None) -> list[str]:
    """Return where the chip sends more spikes in a step than the model's rule, or fewer."""
    beyond = spikes_beyond(network.population(coding.name), coding.task.role)
    if not beyond:
        return []
    most, chips = network.population(coding.name).rule.max_spikes, coding.task.most
    if spikes is None:
        return [f"{coding.name} {beyond}; without calibration data nobody can say how often that matters"]
    if most is None or most > chips:
        n = int((spikes.sent[coding.name] > chips).sum())
        said = f"the model sent more in {counted(n, 'step')}"
    else:
        n = int((spikes.coded[coding.name] > most).sum())
        said = f"the integers sent more in {counted(n, 'step')}"
    return [f"{coding.name} {beyond}; on calibration data {said}"] if n else []


def _late_bias(coding: Coding) -> list[str]:
    late = np.abs(coding.task.form.late_bias)
    if not late.any():
        return []
    return [
        f"{coding.name}: the bias of its synapses acts through a current in the model, and on v from the first step on"
        f" the chip ({late.max():.3g} V per step at most)"
    ]

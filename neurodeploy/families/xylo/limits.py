"""Check a configuration against the limits of a chip, which XyloSim does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons

SHIFT_MAX = 7
"""Largest weight shift that surely keeps ``weight << shift`` within 16 bits."""


@dataclass(frozen=True, slots=True)
class XyloChip:
    """What a chip holds; :class:`neurodeploy.families.xylo.target.Limits` says what each number means."""

    title: str
    version: int
    inputs: int
    hidden: int
    outputs: int
    synapses: int
    input_reaches: int
    outputs_see: int
    fan_out: int
    recurrent_weights: int


@dataclass(frozen=True, slots=True)
class Violation:
    """A limit that a configuration does not keep: what is limited, and how many are used and available."""

    what: str
    used: int
    available: int

    def __str__(self) -> str:
        return f"{self.what}: {self.used:,} used, {self.available:,} available"


def violations(codes: XyloCodes, chip: XyloChip) -> list[Violation]:
    """Return every limit of the chip that a configuration does not keep; none if it fits.

    Args:
        codes: the configuration.
        chip: what it holds.
    """
    return [found for found in usage(codes, chip) if found.used > found.available]


def faults(codes: XyloCodes, chip: XyloChip) -> list[str]:
    """Return in sentences all that keeps a configuration from the chip: its limits, and codes without a meaning."""
    found = [f"{violation}" for violation in violations(codes, chip)]
    if codes.version != chip.version:
        found.append(f"the configuration is of version {codes.version}, but {chip.title} is of version {chip.version}")
    for key in ("shift_in", "shift_rec", "shift_out"):
        if (shift := getattr(codes, key)) > SHIFT_MAX:
            found.append(f"{key} is {shift}, but it must be 0 to {SHIFT_MAX}, or weights leave 16 bits")
    return found + _thresholds("hidden neurons", codes.hidden) + _thresholds("outputs", codes.outputs)


def refuse_faults(codes: XyloCodes, chip: XyloChip) -> None:
    """Refuse a configuration that the chip does not hold.

    Raises:
        DeployError: it names everything that :func:`faults` does.
    """
    if found := faults(codes, chip):
        raise DeployError(
            f"the network does not fit {chip.title}: {'; '.join(found)}",
            where="--target",
            fix="Make the network smaller, prune it, or choose a chip that holds it.",
        )


def usage(codes: XyloCodes, chip: XyloChip) -> Iterator[Violation]:
    """Yield what a configuration takes of each limit of a chip."""
    hidden = codes.hidden.size
    stored = codes.weight_rec != 0
    per_synapse, fan_out = stored.sum(axis=(0, 2)), stored.sum(axis=(1, 2))
    reached = _last(np.any(codes.weight_in != 0, axis=(0, 1)))
    seen = _last(np.any(codes.weight_out != 0, axis=(1, 2))[::-1])
    yield Violation("input channels", codes.n_in, chip.inputs)
    yield Violation("hidden neurons", hidden, chip.hidden)
    yield Violation("outputs", codes.outputs.size, chip.outputs)
    yield Violation("synapses of a hidden neuron", _synapses_in_use(codes), chip.synapses)
    yield Violation("hidden neurons from the first to the last one with input", reached, chip.input_reaches)
    yield Violation("hidden neurons from the first one to the last that feeds an output", seen, chip.outputs_see)
    worst = int(fan_out.argmax()) if hidden else 0
    yield Violation(f"fan-out of hidden neuron {worst}", int(fan_out.max(initial=0)), chip.fan_out)
    for synapse, used in enumerate(per_synapse.tolist()):
        yield Violation(f"recurrent weights of synapse {synapse}", used, chip.recurrent_weights)


def _synapses_in_use(codes: XyloCodes) -> int:
    """Return how many synapses of the hidden neurons have a weight."""
    used = np.any(codes.weight_in != 0, axis=(0, 2)) | np.any(codes.weight_rec != 0, axis=(0, 2))
    return _last(used)


def _last(flags: NDArray[np.bool_]) -> int:
    """Return the place of the last flag that is set, from 1; 0 if none is."""
    return int(flags.nonzero()[0].max(initial=-1)) + 1


def _thresholds(name: str, neurons: XyloNeurons) -> list[str]:
    """Return whether a threshold is so low that a neuron would fire at rest, or v would rise when it fires."""
    low = np.flatnonzero(neurons.threshold_code <= 0)
    if not low.size:
        return []
    worst = int(neurons.threshold_code.min())
    return [
        f"{name}: the threshold of {low.size} of {neurons.size} is 0 or less, as low as {worst}; it must be above 0"
    ]

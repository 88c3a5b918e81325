"""Activity on calibration data: the spikes that a float model sent, and what arrives at its neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.codes import INPUT_MAX
from neurodeploy.families.xylo.synapses import DenseSynapses

Counts = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class Activity:
    """Spikes in each step, uint8 [T, B, n], by name of input and population.

    sent: by the float model; inputs as the chip counts them.
    coded: by the chip's integers, of the populations that are coded already.
    """

    sent: dict[str, Counts]
    coded: dict[str, Counts]

    @property
    def extent(self) -> tuple[int, int]:
        """Steps and samples."""
        n_steps, n_samples = next(iter(self.sent.values())).shape[:2]
        return n_steps, n_samples

    def with_coded(self, name: str, spikes: Counts) -> Activity:
        """Return the same with what a population of the chip sends."""
        return replace(self, coded={**self.coded, name: spikes})

    def first(self, n_samples: int) -> Activity:
        """Return the first samples."""
        parts = ({name: values[:, :n_samples] for name, values in of.items()} for of in (self.sent, self.coded))
        return Activity(*parts)

    def arriving(self, parts: tuple[DenseSynapses, ...], target: str) -> Counts:
        """Return what all sources send in the rows in which it acts, uint8 [T, B, n_sources].

        Of populations that are not coded yet, and of the target itself, it is what the float model sends.
        """
        rows = []
        for part in parts:
            own = part.source != target and part.source in self.coded
            rows.append(_late((self.coded if own else self.sent)[part.source], part.after))
        return np.ascontiguousarray(np.concatenate(rows, axis=2)) if rows else np.zeros((*self.extent, 0), np.uint8)


def activity(inputs: dict[str, NDArray[Any]], spikes: dict[str, NDArray[Any]]) -> Activity:
    """Return what a float model receives and sends.

    Args:
        inputs: whole numbers from 0 to 15 [T, B, *shape], by input.
        spikes: counts [T, B, *shape], by population that fires.

    Raises:
        DeployError: an input is no count of spikes that the chip takes.
    """
    check_counts(inputs)
    sent = {**inputs, **spikes}
    return Activity({name: _counts(values) for name, values in sent.items()}, {})


def check_counts(inputs: Mapping[str, NDArray[Any]]) -> None:
    """Refuse inputs that are no counts of spikes which the chip takes.

    Raises:
        DeployError: a value is no whole number from 0 to 15.
    """
    for name, values in inputs.items():
        if np.any(values != np.rint(values)) or np.any(values < 0) or np.any(values > INPUT_MAX):
            raise DeployError(
                f"input {name!r} holds values of {np.min(values):g} to {np.max(values):g}, but Xylo counts 0 to"
                f" {INPUT_MAX} spikes of a channel in a step",
                where=f"input {name!r}",
                fix="Give whole numbers of spikes, or encode the data as spikes (--encode rate or latency).",
            )


def _counts(values: NDArray[Any]) -> Counts:
    flat = np.asarray(values).reshape(*np.shape(values)[:2], -1)
    counts: Counts = np.clip(flat, 0, np.iinfo(np.uint8).max).astype(np.uint8)
    return counts


def _late(values: Counts, n_steps: int) -> Counts:
    if n_steps == 0:
        return values
    late = np.zeros_like(values)
    late[n_steps:] = values[:-n_steps]
    return late

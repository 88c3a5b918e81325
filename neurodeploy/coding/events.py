"""Event lists: spikes as times, units and samples, spread over dense arrays part by part."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_ARRAY_BYTES
from neurodeploy.coding.data_checks import check_fits
from neurodeploy.errors import DeployError
from neurodeploy.ir.synapses import Shape
from neurodeploy.members import Array

Ints = NDArray[np.int64]


class EventList:
    """An event list, spread over dense arrays part by part; events that meet in one step and unit are counted.

    Args:
        arrays: ``t``, ``unit``, ``shape`` and perhaps ``sample``, integers of one axis. inputs: shapes of the model's
            inputs, by name. path: of the file. merge: events that meet are one, instead.

    shape: ``(T, B, *shape)``. n_repeats: events that are not the first in their step and unit.
    """

    def __init__(self, arrays: dict[str, Array], inputs: dict[str, Shape], path: Path, merge: bool) -> None:
        if len(inputs) != 1:
            raise DeployError(
                "an event list can feed only one input, and the model has several",
                where=str(path),
                fix="Store one array x/<input> for each input instead.",
            )
        t, unit, sample, shape = _read(arrays, path)
        (name, of_input), n = next(iter(inputs.items())), prod(shape[2:])
        _check_shapes(t, unit, sample, shape, of_input, path)
        _check_bounds({"t": (t, shape[0]), "sample": (sample, shape[1]), "unit": (unit, n)}, path)
        check_fits(shape, name, of_input, path, "MODEL.nir")
        order = np.argsort(sample, kind="stable")
        self.shape, self._path = shape, path
        self._t, self._unit, self._sample = t[order], unit[order], sample[order]
        _, counts = np.unique((self._sample * shape[0] + self._t) * n + self._unit, return_counts=True)
        self.n_repeats, self._merge = len(t) - len(counts), merge
        self._dtype = np.uint8 if merge or counts.max(initial=0) <= np.iinfo(np.uint8).max else np.int32

    def part(self, first: int, last: int) -> NDArray[Any]:
        """Return samples ``first`` to ``last - 1`` ``[T, B, *shape]``, uint8, or int32 where there are many events."""
        n_steps, n = self.shape[0], prod(self.shape[2:])
        MAX_ARRAY_BYTES.check(n_steps * (last - first) * n, f"an event list of shape {self.shape}", str(self._path))
        low, high = np.searchsorted(self._sample, (first, last))
        dense = np.zeros((n_steps, last - first, n), self._dtype)
        cells = self._t[low:high], self._sample[low:high] - first, self._unit[low:high]
        if self._merge:
            dense[cells] = 1
        else:
            np.add.at(dense, cells, 1)
        return dense.reshape(n_steps, last - first, *self.shape[2:])


def _read(arrays: dict[str, Array], path: Path) -> tuple[Ints, Ints, Ints, Shape]:
    """Return t, unit and sample of each event, and the shape of the whole."""
    try:
        t, unit = _whole(arrays["t"], "t"), _whole(arrays["unit"], "unit")
        sample = _whole(arrays["sample"], "sample") if "sample" in arrays else np.zeros_like(t)
        return t, unit, sample, tuple(int(n) for n in np.atleast_1d(_whole(arrays["shape"], "shape")))
    except (KeyError, ValueError, TypeError) as error:
        raise DeployError(
            f"this event list is incomplete ({error})", where=str(path), fix="Store t, unit, sample and shape."
        ) from error


def _check_shapes(t: Ints, unit: Ints, sample: Ints, shape: Shape, of_input: Shape, path: Path) -> None:
    if len(shape) < 3 or not t.shape == unit.shape == sample.shape or t.ndim != 1 or shape[2:] != of_input:
        raise DeployError(
            f"the event list has shape {shape}, and its t, unit and sample have shapes {t.shape}, {unit.shape} and"
            f" {sample.shape}",
            where=str(path),
            fix=f"Store (T, B, {', '.join(map(str, of_input))}) as shape, and one entry per event in each of t,"
            " unit and sample.",
        )


def _check_bounds(bounds: dict[str, tuple[Ints, int]], path: Path) -> None:
    """Refuse entries that are not from 0 to below their end."""
    for key, (values, end) in bounds.items():
        if len(values) and (values.min() < 0 or values.max() >= end):
            raise DeployError(
                f"{key} of the event list runs from {values.min()} to {values.max()}",
                where=str(path),
                fix=f"Give every entry of {key} a value from 0 to {end - 1}.",
            )


def _whole(values: Array, key: str) -> Ints:
    """Return whole numbers of 0 or one axis."""
    if values.dtype.kind not in "iu":
        raise ValueError(f"{key} is of type {values.dtype}, but has to hold whole numbers (steps, not seconds)")
    if values.ndim > 1 or not isinstance(values, np.ndarray):
        raise ValueError(f"{key} has shape {values.shape}, but has to be one list")
    if values.dtype == np.uint64 and (values > np.iinfo(np.int64).max).any():
        raise ValueError(f"{key} holds numbers beyond 64 bits")
    return values.astype(np.int64)

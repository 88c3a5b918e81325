"""Input data of a file, brought into ``[T, B, *shape]`` for each input of a model, part by part."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_STEPS
from neurodeploy.coding.data import Data, samples_a_block, target_part
from neurodeploy.coding.data_checks import check_fits, check_levels, check_static
from neurodeploy.coding.encoding import Draws, Encoding
from neurodeploy.coding.events import EventList
from neurodeploy.errors import DeployError, known
from neurodeploy.file_kinds import DATA, check_kind
from neurodeploy.files import existing_file
from neurodeploy.ir.synapses import Shape
from neurodeploy.members import Array, open_npz, part_of


def load_data(
    path: Path, inputs: dict[str, Shape], *, encode: Encoding | None = None, batch_first: bool = False, seed: int = 0
) -> Data:
    """Read input data for a model.

    Args:
        path: ``.npz`` with ``x`` ``[T, B, *shape]`` (several inputs: ``x/<input>``) or an event list (``t``, ``unit``,
            ``sample``, ``shape``; repeats are counted), and optionally ``y`` (or ``labels``): whole numbers ``[B]`` are
            labels, real ones ``[B]``, ``[B, *shape]`` or ``[T, B, *shape]`` are targets.
        inputs: shape of each input of the model, by name.
        encode: for static ``[B, *shape]``.
        batch_first: the file has ``[B, T, *shape]``.
        seed: of a random encoding.

    Raises:
        DeployError: the file is no such data, or does not fit the model.
    """
    data = DataFile(path, inputs, encode=encode, batch_first=batch_first, seed=seed)
    return data.part(0, data.n_samples)


class DataFile:
    """Input data for a model in a file, from which samples are read in parts; see :func:`load_data`.

    Args are those of :func:`load_data`; ``model``: the file that messages name; ``merge_repeats``: events of a list
    that meet in one step and unit are one spike, for what takes 0 and 1 alone, where they are counted else.

    labels, targets, source, n_steps, n_samples: as :class:`Data` has them. n_repeats: events of a list that are not
    the first in their step and unit.
    """

    def __init__(
        self,
        path: Path,
        inputs: dict[str, Shape],
        *,
        encode: Encoding | None = None,
        batch_first: bool = False,
        seed: int = 0,
        model: Path | str = "MODEL.nir",
        merge_repeats: bool = False,
    ) -> None:
        path = existing_file(path, DATA)
        check_kind(path, DATA)
        arrays = open_npz(path, DATA)
        y = arrays.pop("y", arrays.pop("labels", None))
        self._path, self._inputs, self._encode, self._seed = path, inputs, encode, seed
        self._model = model
        self._sample_axis = 0 if encode is not None or batch_first else 1
        self._events = EventList(arrays, inputs, path, merge_repeats) if "unit" in arrays else None
        self.n_repeats = 0 if self._events is None else self._events.n_repeats
        self._x = {} if self._events is not None else _named_arrays(arrays, inputs, path)
        self.n_steps, self.n_samples = self._extents()
        MAX_STEPS.check(self.n_steps, "the input", str(path))
        self.labels, self.targets = _labels(y, self.n_steps, self.n_samples, path, batch_first)
        self._largest = {name: self._find_largest(values) for name, values in self._x.items()}
        self.source = Path(path).name
        if encode is not None:
            self.source += f" as {encode.kind} code in {encode.steps} steps"
            self.source += f", seed {seed}" if encode.kind == "rate" else ""

    def part(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last - 1``, with the values that they have in the whole.

        Raises:
            DeployError: values are not finite, or cannot be encoded.
        """
        x, drawn = {}, 0
        for name, shape in self._inputs.items():
            x[name] = self._part_of(name, first, last, drawn)
            drawn += self.n_steps * self.n_samples * prod(shape)
        labels = None if self.labels is None else self.labels[first:last]
        return Data(x, labels, self.source, target_part(self.targets, self.n_steps, self.n_samples, first, last))

    def _part_of(self, name: str, first: int, last: int, drawn: int) -> NDArray[Any]:
        """Return samples of one input; ``drawn``: random numbers that the inputs before it took."""
        if self._events is not None:
            return self._events.part(first, last)
        values = part_of(self._x[name], first, last, self._sample_axis)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DeployError(
                f"input {name!r} holds NaN or infinite values",
                where=str(self._path),
                fix="Replace these values, or remove their samples.",
            )
        if self._encode is not None:
            draws = Draws(self._seed, drawn, first, self.n_samples)
            return replace(self._encode, scale=self._encode.scale or self._largest[name])(values, draws)
        check_levels(values, name, str(self._path))
        return values if self._sample_axis else values.swapaxes(0, 1)

    def _extents(self) -> tuple[int, int]:
        """Return (T, B), which all inputs share."""
        extents = {self._extent(name, shape): None for name, shape in self._inputs.items()}
        if len(extents) > 1:
            raise DeployError(
                f"the inputs differ in their numbers of steps and samples: {sorted(extents)}",
                where=str(self._path),
                fix="Give all inputs the same number of steps T and of samples B.",
            )
        return next(iter(extents))

    def _extent(self, name: str, shape: Shape) -> tuple[int, int]:
        """Return (T, B) of an input that fits the model."""
        if self._events is not None:
            return self._events.shape[0], self._events.shape[1]
        values = self._x[name]
        if values.dtype.kind not in "biuf":
            raise DeployError(
                f"input {name!r} is of type {values.dtype}, which holds no real numbers",
                where=str(self._path),
                fix="Store the data as integers or floats.",
            )
        if self._encode is not None:
            check_static(values.shape, name, shape, self._path, self._model)
            return self._encode.steps, values.shape[0]
        if self._sample_axis == 0 and values.ndim >= 2:
            check_fits((values.shape[1], values.shape[0], *values.shape[2:]), name, shape, self._path, self._model)
            return values.shape[1], values.shape[0]
        check_fits(values.shape, name, shape, self._path, self._model)
        return values.shape[0], values.shape[1]

    def _find_largest(self, values: Array) -> float:
        """Return the largest of static values, which stands for 1 where nothing else is said."""
        if self._encode is None or self._encode.scale is not None:
            return 1.0
        size = samples_a_block(prod(values.shape[1:]) * values.dtype.itemsize, self.n_samples)
        parts = (
            part_of(values, first, min(first + size, self.n_samples), 0) for first in range(0, self.n_samples, size)
        )
        return max(max(float(part.max(initial=0)) for part in parts), 1e-30)


def _named_arrays(arrays: dict[str, Array], inputs: dict[str, Shape], path: Path) -> dict[str, Array]:
    found = {name.removeprefix("x/"): values for name, values in arrays.items() if name.startswith("x/")}
    if "x" in arrays and len(inputs) == 1:
        found = {next(iter(inputs)): arrays["x"]}
    if missing := set(inputs) - set(found):
        wanted = "x" if len(inputs) == 1 else ", ".join(f"x/{name}" for name in sorted(inputs))
        raise DeployError(
            f"there is nothing for input {known(missing)}; the file holds {known(arrays)}",
            where=str(path),
            fix=f"Store {wanted} in the file.",
        )
    return found


def _labels(
    y: Array | None, n_steps: int, n_samples: int, path: Path, batch_first: bool
) -> tuple[NDArray[np.int64] | None, NDArray[np.float64] | None]:
    """Return labels, or targets where they are real numbers."""
    if y is None:
        return None, None
    is_class = y.shape == (n_samples,) and y.dtype.kind in "iu"
    samples_first = batch_first and y.ndim > 1 and y.shape[:2] == (n_samples, n_steps)
    by_sample = y.ndim > 0 and y.shape[0] == n_samples
    by_row = y.ndim > 1 and y.shape[:2] == (n_steps, n_samples)
    if not is_class and not (y.dtype.kind == "f" and (samples_first or by_sample or by_row)):
        raise DeployError(
            f"labels y have shape {y.shape} and type {y.dtype}, but the data has {n_samples} samples",
            where=str(path),
            fix="Store one integer per sample for classes, or floats [B], [B, ...] or [T, B, ...] for numbers. Samples"
            " are axis 1 of x; if they are axis 0, use --batch-first.",
        )
    values = part_of(y, 0, y.shape[0], 0)
    if is_class:
        return values.astype(np.int64), None
    if not np.isfinite(values).all():
        raise DeployError(
            "y holds NaN or infinite values", where=str(path), fix="Replace these values, or remove their samples."
        )
    return None, (values.swapaxes(0, 1) if samples_first else values).astype(np.float64)

"""Input data: what a file holds, brought into ``[T, B, *shape]`` for each input of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.files import read_npz
from neurodeploy.synapses import Shape

MAX_EVENT_CELLS = 2**31
"""Cells ``T * B * units`` that an event list may spread to."""

DEFAULT_STEPS = 32

BLOCK_BYTES = 2**27
"""What one recording of a block of samples may take; beside it stand those of other backends, and input."""


@dataclass(frozen=True, eq=False, slots=True)
class Data:
    """Input for a model.

    x: for each input ``[T, B, *shape]``, of the dtype the file has.
    labels: int64 ``[B]``, or None.
    source: where it came from, for reports.
    targets: numbers to be met, float64 ``[B]`` or ``[B, *shape]``, or ``[T, B, *shape]`` for each row; or None.
    """

    x: dict[str, NDArray[Any]]
    labels: NDArray[np.int64] | None
    source: str
    targets: NDArray[np.float64] | None = None

    @property
    def n_steps(self) -> int:
        """Rows T."""
        return int(next(iter(self.x.values())).shape[0])

    @property
    def n_samples(self) -> int:
        """Samples B."""
        return int(next(iter(self.x.values())).shape[1])

    def first(self, n_samples: int) -> Data:
        """Return the first ``n_samples`` samples."""
        return self.part(0, n_samples)

    def part(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last - 1``."""
        labels = None if self.labels is None else self.labels[first:last]
        x = {name: values[:, first:last] for name, values in self.x.items()}
        return Data(x, labels, self.source, target_part(self.targets, self.n_steps, self.n_samples, first, last))


class Samples(Protocol):
    """Data, in memory or in a file, that gives its samples in parts."""

    @property
    def source(self) -> str:
        """Where it came from, for reports."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class of each sample, int64 ``[B]``, or None."""

    @property
    def targets(self) -> NDArray[np.float64] | None:
        """Numbers to be met, or None."""

    @property
    def n_steps(self) -> int:
        """Rows T."""

    @property
    def n_samples(self) -> int:
        """Samples B."""

    def part(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last - 1``."""


def blocks(data: Samples, bytes_a_sample: int) -> Iterator[tuple[int, Data]]:
    """Yield (first sample, samples) of blocks whose recordings take at most :data:`BLOCK_BYTES`."""
    size = max(1, BLOCK_BYTES // max(bytes_a_sample, 1))
    for first in range(0, data.n_samples, size):
        yield first, data.part(first, min(first + size, data.n_samples))


def target_part(
    targets: NDArray[np.float64] | None, n_steps: int, n_samples: int, first: int, last: int
) -> NDArray[np.float64] | None:
    """Return the targets of samples ``first`` to ``last - 1``."""
    if targets is None:
        return None
    return targets[:, first:last] if has_rows(targets, n_steps, n_samples) else targets[first:last]


def has_rows(targets: NDArray[np.float64], n_steps: int, n_samples: int) -> bool:
    """Tell whether targets are given for each row, ``[T, B, *shape]``."""
    return targets.ndim > 1 and targets.shape[:2] == (n_steps, n_samples)


def shared_samples(one: Data, other: Data) -> int:
    """Return how many samples of ``other`` are in ``one``, too, over the same steps, by where they are not 0."""

    def prints(data: Data) -> list[bytes]:
        n = next(iter(data.x.values())).shape[1]
        parts = [
            [np.packbits(np.ascontiguousarray(values[:, i]) != 0).tobytes() for i in range(n)]
            for _, values in sorted(data.x.items())
        ]
        return [sha256(b"".join(part)).digest() for part in zip(*parts, strict=True)]

    known = set(prints(one))
    return sum(found in known for found in prints(other))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How static values become spikes over time.

    kind: ``rate`` (a spike in each step with the value as probability), ``latency`` (one spike, the earlier the
        larger the value, none for 0) or ``repeat`` (the value itself in every step: a current, which only the
        reference takes).
    steps: time steps T.
    scale: the value that stands for 1, or None for the largest in the data.
    """

    kind: str
    steps: int = DEFAULT_STEPS
    scale: float | None = None

    def __call__(self, values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return ``[T, B, *shape]`` for static values ``[B, *shape]`` of 0 and above."""
        if (values < 0).any():
            raise DeployError(
                f"values down to {values.min()} cannot be encoded",
                where="--encode",
                fix="Scale the data to 0 and above.",
            )
        share = np.clip(values / (self.scale or max(float(values.max()), 1e-30)), 0.0, 1.0)
        if self.kind == "rate":
            return np.asarray(rng.random((self.steps, *values.shape)) < share, np.uint8)
        if self.kind == "latency":
            when = np.rint((1.0 - share) * (self.steps - 1)).astype(np.int64)
            steps = np.arange(self.steps).reshape(-1, *(1,) * values.ndim)
            return np.asarray((steps == when) & (share > 0), np.uint8)
        return np.repeat(values[np.newaxis].astype(np.float32), self.steps, axis=0)


def parse_encoding(text: str) -> Encoding:
    """Return the encoding that ``KIND[,steps=N][,scale=X]`` describes.

    Raises:
        DeployError: the kind or a key is unknown, or a value is no number above 0.
    """
    kind, *items = [part.strip() for part in text.split(",")]
    kinds = ("rate", "latency", "repeat")
    if kind not in kinds:
        raise DeployError(f"no encoding is called {kind!r}", where="--encode", fix=f"Choose one of {known(kinds)}.")
    said: dict[str, Any] = {}
    for item in items:
        key, _, value = item.partition("=")
        if key not in ("steps", "scale"):
            raise DeployError(f"an encoding has no {key!r}", where="--encode", fix="Write KIND,steps=N,scale=X.")
        try:
            said[key] = int(value) if key == "steps" else float(value)
        except ValueError:
            said[key] = 0
        if not said[key] > 0:
            raise DeployError(f"{key} cannot be {value!r}", where="--encode", fix="It is a number above 0.")
    return Encoding(kind, **said)


def load_data(
    path: Path, inputs: dict[str, Shape], *, encode: Encoding | None = None, batch_first: bool = False, seed: int = 0
) -> Data:
    """Read input data for a model.

    Args:
        path: ``.npz`` with ``x`` ``[T, B, *shape]`` (several inputs: ``x/<input>``) or an event list (``t``, ``unit``,
            ``sample``, ``shape``), and optionally ``y`` (or ``labels``): whole numbers ``[B]`` are labels, real ones
            ``[B]``, ``[B, *shape]`` or ``[T, B, *shape]`` are targets.
        inputs: shape of each input of the model, by name.
        encode: for static ``[B, *shape]``.
        batch_first: the file has ``[B, T, *shape]``.
        seed: of a random encoding.

    Raises:
        DeployError: the file is no such data, or does not fit the model.
    """
    arrays = read_npz(path, "input data")
    found = _event_arrays(arrays, inputs, path) if "unit" in arrays else _named_arrays(arrays, inputs, path)
    rng = np.random.default_rng(seed)
    x = {}
    for name, shape in inputs.items():
        values = found[name]
        if values.dtype.kind not in "biuf":
            raise DeployError(f"input {name!r} holds {values.dtype}", where=str(path), fix="Store numbers.")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DeployError(f"input {name!r} holds NaN or infinite values", where=str(path), fix="Clean the data.")
        if encode is not None:
            values = _static(values, name, shape, path)
            values = encode(values, rng)
        elif batch_first and values.ndim >= 2:
            values = values.swapaxes(0, 1)
        x[name] = _fitted(values, name, shape, path)
    n_steps, n_samples = next(iter(x.values())).shape[:2]
    labels, targets = _labels(arrays, n_steps, n_samples, path, batch_first)
    source = Path(path).name
    if encode is not None:
        source += f" as {encode.kind} code in {encode.steps} steps" + (
            f", seed {seed}" if encode.kind == "rate" else ""
        )
    return Data(x, labels, source, targets)


def _named_arrays(arrays: dict[str, NDArray[Any]], inputs: dict[str, Shape], path: Path) -> dict[str, NDArray[Any]]:
    found = {name.removeprefix("x/"): values for name, values in arrays.items() if name.startswith("x/")}
    if "x" in arrays and len(inputs) == 1:
        found = {next(iter(inputs)): arrays["x"]}
    if missing := set(inputs) - set(found):
        wanted = "x" if len(inputs) == 1 else ", ".join(f"x/{name}" for name in sorted(inputs))
        raise DeployError(
            f"there is nothing for input {known(missing)}; the file holds {known(arrays)}",
            where=str(path),
            fix=f"Store {wanted}.",
        )
    return found


def _event_arrays(arrays: dict[str, NDArray[Any]], inputs: dict[str, Shape], path: Path) -> dict[str, NDArray[Any]]:
    """Return an event list as a dense array of 0 and 1."""
    if len(inputs) != 1:
        raise DeployError("an event list feeds one input", where=str(path), fix="Store x/<input> arrays for several.")
    try:
        t, unit = _whole(arrays["t"], "t"), _whole(arrays["unit"], "unit")
        sample = _whole(arrays["sample"], "sample") if "sample" in arrays else np.zeros_like(t)
        shape = tuple(int(n) for n in np.atleast_1d(arrays["shape"]))
    except (KeyError, ValueError, TypeError) as error:
        raise DeployError(
            f"this event list is not whole ({error})", where=str(path), fix="Store t, unit, sample and shape."
        ) from error
    (name, of_input), n = next(iter(inputs.items())), int(np.prod(shape[2:]))
    if len(shape) < 3 or not t.shape == unit.shape == sample.shape or t.ndim != 1 or shape[2:] != of_input:
        raise DeployError(
            f"an event list of shape {shape} with {t.shape}, {unit.shape}, {sample.shape} events",
            where=str(path),
            fix=f"shape is (T, B, {', '.join(map(str, of_input))}); t, unit and sample have one entry an event.",
        )
    bounds = {"t": (t, shape[0]), "sample": (sample, shape[1]), "unit": (unit, n)}
    for key, (values, end) in bounds.items():
        if len(values) and (values.min() < 0 or values.max() >= end):
            raise DeployError(
                f"{key} runs from {values.min()} to {values.max()}", where=str(path), fix=f"It is 0 to {end - 1}."
            )
    if shape[0] * shape[1] * n > MAX_EVENT_CELLS:
        raise DeployError(
            f"events over {shape} are too many cells", where=str(path), fix="Split the data into several files."
        )
    dense = np.zeros((shape[0], shape[1], n), np.uint8)
    dense[t, sample, unit] = 1
    return {name: dense.reshape(shape)}


def _whole(values: NDArray[Any], key: str) -> NDArray[np.int64]:
    if values.dtype.kind not in "iu":
        raise ValueError(f"{key} holds {values.dtype}, it takes whole numbers: steps, not seconds")
    return values.astype(np.int64)


def _static(values: NDArray[Any], name: str, shape: Shape, path: Path) -> NDArray[Any]:
    if values.shape[1:] != shape:
        raise DeployError(
            f"input {name!r} has shape {values.shape}, and --encode takes static [B, *{list(shape)}]",
            where=str(path),
            fix="Leave --encode out for data with a time axis, or reshape it.",
        )
    return values


def _fitted(values: NDArray[Any], name: str, shape: Shape, path: Path) -> NDArray[Any]:
    if values.ndim < 2 or values.shape[2:] != shape or 0 in values.shape:
        raise DeployError(
            f"input {name!r} has shape {values.shape}, the model takes [T, B, *{list(shape)}]",
            where=str(path),
            fix="Reshape the data; --batch-first is for [B, T, ...], --encode for static [B, ...].",
        )
    return values


def _labels(
    arrays: dict[str, NDArray[Any]], n_steps: int, n_samples: int, path: Path, batch_first: bool
) -> tuple[NDArray[np.int64] | None, NDArray[np.float64] | None]:
    """Return labels, or targets where they are real numbers."""
    y = arrays.get("y", arrays.get("labels"))
    if y is None:
        return None, None
    if y.shape == (n_samples,) and y.dtype.kind in "iu":
        return y.astype(np.int64), None
    if batch_first and y.ndim > 1 and y.shape[:2] == (n_samples, n_steps):
        y = y.swapaxes(0, 1)
    fits = y.ndim > 0 and (y.shape[0] == n_samples or has_rows(y, n_steps, n_samples))
    if not fits or y.dtype.kind != "f":
        raise DeployError(
            f"labels y have shape {y.shape} and type {y.dtype}, the data has {n_samples} samples",
            where=str(path),
            fix="Store one integer a sample for classes, or floats [B], [B, ...] or [T, B, ...] for numbers; axis 1 of"
            " x is the samples, or use --batch-first.",
        )
    if not np.isfinite(y).all():
        raise DeployError("y holds NaN or infinite values", where=str(path), fix="Clean the data.")
    return None, y.astype(np.float64)

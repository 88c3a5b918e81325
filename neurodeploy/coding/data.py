"""Input data of a file, brought into ``[T, B, *shape]`` for each input of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_ARRAY_BYTES, MAX_STEPS
from neurodeploy.errors import DeployError, known
from neurodeploy.file_kinds import DATA, check_kind
from neurodeploy.files import existing_file
from neurodeploy.ir.synapses import Shape
from neurodeploy.members import Array, open_npz, part_of

DEFAULT_STEPS = 32

BLOCK_BYTES = 2**27
"""What a run of a block of samples may take; beside it stand the recordings of other backends."""


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


Given = Samples | Mapping[str, Any] | NDArray[Any] | Path | str
"""How data may be given in Python: samples, an array ``[T, B, *shape]`` for each input or the only one, or a file."""


def given_samples(data: Given, inputs: dict[str, Shape]) -> Samples:
    """Return data for a model as samples, however it was given.

    Args:
        data: samples, arrays ``[T, B, *shape]`` by input, the array of the only input, or the path of a file.
        inputs: shape of each input of the model, by name.

    Raises:
        DeployError: the file is no such data, names or arrays are not those of the inputs, or one array is given for
            several inputs.
    """
    if isinstance(data, (str, Path)):
        return DataFile(Path(data), inputs)
    if isinstance(data, Mapping):
        if set(data) != set(inputs):
            raise DeployError(
                f"the data holds inputs {known(data)}, but the model's inputs are {known(inputs)}",
                where="--input",
                fix="Name each array like the model's input that it is for; give labels with neurodeploy.Data(x,"
                " labels) or in a file.",
            )
        return Data({name: _numbers(values, name) for name, values in data.items()}, None, "arrays")
    if hasattr(data, "part"):
        return cast("Samples", data)
    if len(inputs) != 1:
        raise DeployError(
            f"the data is one array, and the model has several inputs: {known(inputs)}",
            where="--input",
            fix="Give a dictionary with an array for each input.",
        )
    (name,) = inputs
    return Data({name: _numbers(data, name)}, None, "an array")


def _numbers(values: Any, name: str) -> NDArray[Any]:
    """Return what is given for an input as an array ``[T, B, *shape]`` of real numbers."""
    try:
        found = np.asarray(values)
    except ValueError:  # lists of unequal lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "biuf" or found.ndim < 2:
        raise DeployError(
            f"the data for input {name!r} is a {type(values).__name__}, not an array [T, B, ...] of real numbers",
            where="--input",
            fix="Give an array, samples as neurodeploy.load_data returns them, or the path of a data file.",
        )
    return found


def blocks(data: Samples, bytes_a_sample: int) -> Iterator[tuple[int, Data]]:
    """Yield (first sample, samples) of blocks that take at most :data:`BLOCK_BYTES`; one block where each takes 0."""
    size = max(1, BLOCK_BYTES // max(bytes_a_sample, 1)) if bytes_a_sample else max(1, data.n_samples)
    for first in range(0, data.n_samples, size):
        yield first, data.part(first, min(first + size, data.n_samples))


def _content(values: NDArray[Any]) -> bytes:
    """Return a sample's content, the same whatever type holds it; spikes are 0 and 1 in all of them."""
    fires = values != 0
    whole = b"" if (values[fires] == 1).all() else np.ascontiguousarray(values, np.float64).tobytes()
    return np.packbits(fires).tobytes() + whole


class DataHash:
    """The sha256 of input, a part of the samples at a time; the same whatever type holds the values."""

    def __init__(self) -> None:
        self._found = sha256()
        self._is_new = True

    def add(self, x: dict[str, NDArray[Any]]) -> None:
        """Add the next samples, for each input ``[T, B, *shape]``."""
        values = [x[name] for name in sorted(x)]
        if self._is_new:
            # A single input has different names in a model and in its framework.
            names = sorted(x) if len(x) > 1 else []
            self._found.update(repr((names, [(len(one), *one.shape[2:]) for one in values])).encode())
            self._is_new = False
        for sample in range(values[0].shape[1]):
            self._found.update(sha256(b"".join(_content(one[:, sample]) for one in values)).digest())

    def hexdigest(self) -> str:
        """Return the hash of what was added so far, in 64 hexadecimal digits."""
        return self._found.hexdigest()


def data_sha256(data: Samples) -> str:
    """Return the hash of data's input, which recordings of it carry."""
    found = DataHash()
    for _, part in blocks(data, data.n_steps * sum(values[0, 0].nbytes for values in data.part(0, 1).x.values())):
        found.add(part.x)
    return found.hexdigest()


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


def shared_samples(one: Samples, other: Samples) -> int:
    """Return how many samples of ``other`` are in ``one``, too, over the same steps."""

    def prints(data: Samples) -> Iterator[bytes]:
        for _, part in blocks(data, data.n_steps * sum(values[0, 0].nbytes for values in data.part(0, 1).x.values())):
            for i in range(part.n_samples):
                yield sha256(b"".join(_content(values[:, i]) for _, values in sorted(part.x.items()))).digest()

    known = set(prints(one))
    return sum(found in known for found in prints(other))


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding of static values as spikes over time.

    kind: ``rate`` (a spike in each step with the value as probability), ``latency`` (one spike, the earlier the
        larger the value, none for 0) or ``repeat`` (the value itself in every step: a current, which only the
        reference takes).
    steps: time steps T.
    scale: the value that stands for 1, or None for the largest in the data.
    """

    kind: str
    steps: int = DEFAULT_STEPS
    scale: float | None = None

    def __call__(self, values: NDArray[Any], rng: np.random.Generator | _Draws) -> NDArray[Any]:
        """Return ``[T, B, *shape]`` for static values ``[B, *shape]`` of 0 and above."""
        if (values < 0).any():
            raise DeployError(
                f"the data holds values down to {values.min()}, and values below 0 cannot be encoded",
                where="--encode",
                fix="Scale or shift the data so that no value is below 0.",
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
            raise DeployError(f"an encoding has no option {key!r}", where="--encode", fix="Write KIND,steps=N,scale=X.")
        try:
            said[key] = int(value) if key == "steps" else float(value)
        except ValueError:
            said[key] = 0
        if not said[key] > 0:
            raise DeployError(f"{key} cannot be {value!r}", where="--encode", fix=f"Give a number above 0 for {key}.")
    return Encoding(kind, **said)


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
        self._events = _Events(arrays, inputs, path, merge_repeats) if "unit" in arrays else None
        self.n_repeats = 0 if self._events is None else self._events.n_repeats
        self._x = {} if self._events is not None else _named_arrays(arrays, inputs, path)
        extents = {name: self._extent(name, shape) for name, shape in inputs.items()}
        if len(set(extents.values())) > 1:
            raise DeployError(
                f"the inputs differ in their numbers of steps and samples: {sorted(set(extents.values()))}",
                where=str(path),
                fix="Give all inputs the same number of steps T and of samples B.",
            )
        self.n_steps, self.n_samples = next(iter(extents.values()))
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
            if self._events is not None:
                x[name] = self._events.part(first, last)
                continue
            values = part_of(self._x[name], first, last, self._sample_axis)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise DeployError(
                    f"input {name!r} holds NaN or infinite values",
                    where=str(self._path),
                    fix="Replace these values, or remove their samples.",
                )
            if self._encode is None:
                check_levels(values, name, str(self._path))
            if self._encode is not None:
                draws = _Draws(self._seed, drawn, first, self.n_samples)
                values = replace(self._encode, scale=self._encode.scale or self._largest[name])(values, draws)
                drawn += self.n_steps * self.n_samples * prod(shape)
            elif self._sample_axis == 0:
                values = values.swapaxes(0, 1)
            x[name] = values
        labels = None if self.labels is None else self.labels[first:last]
        return Data(x, labels, self.source, target_part(self.targets, self.n_steps, self.n_samples, first, last))

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
            _check_static(values.shape, name, shape, self._path, self._model)
            return self._encode.steps, values.shape[0]
        if self._sample_axis == 0 and values.ndim >= 2:
            _check_fits((values.shape[1], values.shape[0], *values.shape[2:]), name, shape, self._path, self._model)
            return values.shape[1], values.shape[0]
        _check_fits(values.shape, name, shape, self._path, self._model)
        return values.shape[0], values.shape[1]

    def _find_largest(self, values: Array) -> float:
        """Return the largest of static values, which stands for 1 where nothing else is said."""
        if self._encode is None or self._encode.scale is not None:
            return 1.0
        size = max(1, BLOCK_BYTES // max(1, prod(values.shape[1:]) * values.dtype.itemsize))
        parts = (
            part_of(values, first, min(first + size, self.n_samples), 0) for first in range(0, self.n_samples, size)
        )
        return max(max(float(part.max(initial=0)) for part in parts), 1e-30)


class _Draws:
    """Random numbers of part of the samples: those that one draw for all of them would give.

    Args:
        seed: of the draw. before: numbers drawn before, for other inputs. first: sample. n_samples: in all.
    """

    def __init__(self, seed: int, before: int, first: int, n_samples: int) -> None:
        self.seed, self.before, self.first, self.n_samples = seed, before, first, n_samples

    def random(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Return numbers from 0 to 1, ``[T, B, ...]``; each takes one state of the generator."""
        found, each = np.empty(size), prod(size[2:])
        for t in range(size[0]):
            generator = np.random.PCG64(self.seed)
            generator.advance(self.before + (t * self.n_samples + self.first) * each)
            np.random.Generator(generator).random(out=found[t])
        return found


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


class _Events:
    """An event list, spread over dense arrays part by part; events that meet in one step and unit are counted.

    shape: ``(T, B, *shape)``. n_repeats: events that are not the first in their step and unit.
    """

    def __init__(self, arrays: dict[str, Array], inputs: dict[str, Shape], path: Path, merge: bool) -> None:
        if len(inputs) != 1:
            raise DeployError(
                "an event list can feed only one input, and the model has several",
                where=str(path),
                fix="Store one array x/<input> for each input instead.",
            )
        try:
            t, unit = _whole(arrays["t"], "t"), _whole(arrays["unit"], "unit")
            sample = _whole(arrays["sample"], "sample") if "sample" in arrays else np.zeros_like(t)
            shape = tuple(int(n) for n in np.atleast_1d(_whole(arrays["shape"], "shape")))
        except (KeyError, ValueError, TypeError) as error:
            raise DeployError(
                f"this event list is incomplete ({error})", where=str(path), fix="Store t, unit, sample and shape."
            ) from error
        (name, of_input), n = next(iter(inputs.items())), prod(shape[2:])
        if len(shape) < 3 or not t.shape == unit.shape == sample.shape or t.ndim != 1 or shape[2:] != of_input:
            raise DeployError(
                f"the event list has shape {shape}, and its t, unit and sample have shapes {t.shape}, {unit.shape} and"
                f" {sample.shape}",
                where=str(path),
                fix=f"Store (T, B, {', '.join(map(str, of_input))}) as shape, and one entry per event in each of t,"
                " unit and sample.",
            )
        bounds = {"t": (t, shape[0]), "sample": (sample, shape[1]), "unit": (unit, n)}
        for key, (values, end) in bounds.items():
            if len(values) and (values.min() < 0 or values.max() >= end):
                raise DeployError(
                    f"{key} of the event list runs from {values.min()} to {values.max()}",
                    where=str(path),
                    fix=f"Give every entry of {key} a value from 0 to {end - 1}.",
                )
        _check_fits(shape, name, of_input, path, "MODEL.nir")
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


def _whole(values: Array, key: str) -> NDArray[np.int64]:
    """Return whole numbers of 0 or one axis."""
    if values.dtype.kind not in "iu":
        raise ValueError(f"{key} is of type {values.dtype}, but has to hold whole numbers (steps, not seconds)")
    if values.ndim > 1 or not isinstance(values, np.ndarray):
        raise ValueError(f"{key} has shape {values.shape}, but has to be one list")
    if values.dtype == np.uint64 and (values > np.iinfo(np.int64).max).any():
        raise ValueError(f"{key} holds numbers beyond 64 bits")
    return values.astype(np.int64)


def check_levels(values: NDArray[Any], name: str, where: str) -> None:
    """Refuse bytes that are 0 and 255: black and white of an image, which would be spikes worth 255.

    Raises:
        DeployError: an input holds them.
    """
    if values.dtype == np.uint8 and values.max(initial=0) == 255 and not ((values != 0) & (values != 255)).any():
        raise DeployError(
            f"input {name!r} holds only 0 and 255, like the black and white of an image, but spikes are 0 and 1",
            where=where,
            fix="Store x // 255 for spikes, or x / 255 for values; or turn static images into spikes with --encode.",
        )


def _check_static(found: Shape, name: str, shape: Shape, path: Path, model: Path | str) -> None:
    if found[1:] != shape:
        raise DeployError(
            f"input {name!r} has shape {found}, but --encode takes static data of shape [B, *{list(shape)}]",
            where=str(path),
            fix=without_batch(found[1:], shape, model)
            or "Leave out --encode if the data has a time axis already, or reshape the data.",
        )


def _check_fits(found: Shape, name: str, shape: Shape, path: Path, model: Path | str) -> None:
    if 0 in found[:2] and found[2:] == shape:
        raise DeployError(
            f"input {name!r} holds {found[0]} steps and {found[1]} samples, so there is nothing to run",
            where=str(path),
            fix="Give data with at least one step and one sample.",
        )
    if len(found) < 2 or found[2:] != shape or 0 in found:
        raise DeployError(
            f"input {name!r} has shape {found}, but the model takes [T, B, *{list(shape)}]",
            where=str(path),
            fix=without_batch(found[2:], shape, model)
            or "Reshape the data, or use --batch-first for [B, T, ...] or --encode for static [B, ...].",
        )


def without_batch(of_data: Shape, of_model: Shape, model: Path | str) -> str:
    """Return what mends a model's file whose Input has the batch's axis, or nothing if that is not what is wrong."""
    extra = len(of_model) - len(of_data)
    if of_data and extra in (1, 2) and of_model[extra:] == of_data:
        return (
            "The Input of the model's file has an axis for the batch, which no step's input has; take it out:"
            f" neurodeploy inspect {model} --fix -o FIXED.nir makes it {list(of_data)}."
        )
    return ""


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

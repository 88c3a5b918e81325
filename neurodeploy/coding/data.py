"""Input data in memory, and samples that are given in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
        """Numbers to be met, float64 as :class:`Data` has them, or None."""

    @property
    def n_steps(self) -> int:
        """Rows T."""

    @property
    def n_samples(self) -> int:
        """Samples B."""

    def part(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last - 1``."""


def blocks(data: Samples, bytes_a_sample: int) -> Iterator[tuple[int, Data]]:
    """Yield (first sample, samples) of blocks that take at most :data:`BLOCK_BYTES`; one block where each takes 0."""
    size = samples_a_block(bytes_a_sample, data.n_samples)
    for first in range(0, data.n_samples, size):
        yield first, data.part(first, min(first + size, data.n_samples))


def samples_a_block(bytes_a_sample: int, n_samples: int) -> int:
    """Return how many samples take at most :data:`BLOCK_BYTES`, one at least; all of them where each takes 0."""
    return max(1, BLOCK_BYTES // bytes_a_sample if bytes_a_sample else n_samples)


def target_part(
    targets: NDArray[np.float64] | None, n_steps: int, n_samples: int, first: int, last: int
) -> NDArray[np.float64] | None:
    """Return the targets of samples ``first`` to ``last - 1``.

    Args:
        targets: float64 ``[B]``, ``[B, *shape]`` or ``[T, B, *shape]``, or None. n_steps: T. n_samples: B.
        first, last: samples.
    """
    if targets is None:
        return None
    return targets[:, first:last] if has_rows(targets, n_steps, n_samples) else targets[first:last]


def has_rows(targets: NDArray[np.float64], n_steps: int, n_samples: int) -> bool:
    """Tell whether targets are given for each row, ``[T, B, *shape]``.

    Args:
        targets: float64, any shape. n_steps: T. n_samples: B.
    """
    return targets.ndim > 1 and targets.shape[:2] == (n_steps, n_samples)

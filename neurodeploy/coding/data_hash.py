"""The hash of input data, which recordings carry, and the samples that two sets of data share."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.data import Samples, blocks


class DataHash:
    """The sha256 of input, a part of the samples at a time; the same whatever type holds the values."""

    def __init__(self) -> None:
        self._found = sha256()
        self._is_new = True

    def add(self, x: dict[str, NDArray[Any]]) -> None:
        """Add the next samples, for each input ``[T, B, *shape]`` of any dtype."""
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


def shared_samples(one: Samples, other: Samples) -> int:
    """Return how many samples of ``other`` are in ``one``, too, over the same steps."""

    def prints(data: Samples) -> Iterator[bytes]:
        for _, part in blocks(data, data.n_steps * sum(values[0, 0].nbytes for values in data.part(0, 1).x.values())):
            for i in range(part.n_samples):
                yield sha256(b"".join(_content(values[:, i]) for _, values in sorted(part.x.items()))).digest()

    known = set(prints(one))
    return sum(found in known for found in prints(other))


def _content(values: NDArray[Any]) -> bytes:
    """Return a sample's content, the same whatever type holds it; spikes are 0 and 1 in all of them."""
    fires = values != 0
    whole = b"" if (values[fires] == 1).all() else np.ascontiguousarray(values, np.float64).tobytes()
    return np.packbits(fires).tobytes() + whole

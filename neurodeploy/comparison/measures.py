"""How well two recordings agree, where they part first, and what their outputs decide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.recording import Recording


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two recordings part: the earliest row, and in it the first node in the network's order.

    sample, t: from 0. node: its name. unit: position in the node's shape. a, b: what each has there. what: spikes, v
        or u.
    count: entries that differ in this node and sample, in all rows.
    """

    what: str
    node: str
    sample: int
    t: int
    unit: tuple[int, ...]
    a: float
    b: float
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {**asdict(self), "unit": list(self.unit)}


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the share of spikes that two rasters have in common: shared over all, 1 where neither fires."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return 1.0 if not either else int(np.count_nonzero((a == b) & (a != 0))) / either


def first_difference(
    a: Recording, b: Recording, nodes: tuple[str, ...], what: tuple[str, ...] = ("spikes",)
) -> Difference | None:
    """Return where two recordings part first in time, in what both recorded, or None if they are equal.

    Args:
        a, b: recordings of the same steps and samples.
        nodes: in the network's order.
        what: observables to hold against each other.
    """
    found: list[tuple[int, int, int, str]] = []
    for rank, node in enumerate(nodes):
        for key in what:
            if _share(a, b, node, key):
                rows = (a.nodes[node][key] != b.nodes[node][key]).any(axis=tuple(range(1, a.nodes[node][key].ndim)))
                if rows.any():
                    found.append((int(rows.argmax()), rank, what.index(key), key))
    if not found:
        return None
    t, rank, _, key = min(found)
    return describe(a, b, nodes[rank], key, t)


def _share(a: Recording, b: Recording, node: str, key: str) -> bool:
    """Tell whether two recordings have an observable in common; volts and register units are not held together."""
    one, two = a.nodes.get(node, {}).get(key), b.nodes.get(node, {}).get(key)
    return one is not None and two is not None and (key == "spikes" or one.dtype.kind == two.dtype.kind)


def describe(a: Recording, b: Recording, node: str, key: str, t: int, sample: int | None = None) -> Difference:
    """Return the first difference of a node in row ``t``, of one sample if given."""
    one, two = a.nodes[node][key], b.nodes[node][key]
    differs = one[t] != two[t]
    if sample is None:
        sample = int(differs.any(axis=tuple(range(1, differs.ndim))).argmax())
    flat = int(differs[sample].argmax())
    unit = tuple(int(i) for i in np.unravel_index(flat, differs.shape[1:]))
    count = int((one[:, sample] != two[:, sample]).sum())
    return Difference(key, node, sample, t, unit, float(one[(t, sample, *unit)]), float(two[(t, sample, *unit)]), count)


def decide(recording: Recording) -> NDArray[np.int64]:
    """Return the class of each sample, int64 (B,).

    It is the output neuron with most spikes, or with the largest sum of its values where it does not fire; the lowest
    index in a tie.
    """
    observed = recording.nodes[recording.outputs[0]]
    values = observed["spikes"] if "spikes" in observed else observed["value"]
    counts = values.sum(axis=0, dtype=np.float64 if values.dtype.kind == "f" else np.int64)
    winners: NDArray[np.int64] = counts.reshape(len(counts), -1).argmax(axis=1)
    return winners


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    z = 1.959964
    share, scale = correct / n, 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def diff(a: Recording, b: Recording) -> dict[str, Any]:
    """Hold two recordings against each other.

    Returns:
        JSON-ready: ``agreement`` by node, ``first_difference`` (in spikes, v or u that both recorded; None if equal),
        ``only_a`` and ``only_b``, the nodes that one of them lacks.

    Raises:
        ValueError: they share no node, or not the same steps, samples and shapes.
    """
    shared = tuple(node for node in a.nodes if node in b.nodes)
    if not shared:
        raise ValueError(f"the recordings share no node: {sorted(a.nodes)} and {sorted(b.nodes)}")
    for node in shared:
        for key in set(a.nodes[node]) & set(b.nodes[node]):
            one, two = a.nodes[node][key].shape, b.nodes[node][key].shape
            if one != two:
                raise ValueError(f"{key} of {node!r} have shapes {one} and {two}")
    different = first_difference(a, b, shared, ("spikes", "value", "u", "v"))
    return {
        "agreement": {
            node: agreement(a.spikes(node), b.spikes(node))
            for node in shared
            if "spikes" in a.nodes[node] and "spikes" in b.nodes[node]
        },
        "first_difference": None if different is None else different.to_dict(),
        "only_a": sorted(set(a.nodes) - set(b.nodes)),
        "only_b": sorted(set(b.nodes) - set(a.nodes)),
    }

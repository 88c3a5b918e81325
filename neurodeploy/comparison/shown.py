"""Choose samples that a comparison keeps whole for the rasters: those where backends differ, and some others."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.comparison.tallies import Block, both
from neurodeploy.ir.recording import Recording

KEPT = 12
"""Samples of either kind, those that differ and others, that are kept where data runs in several blocks."""


@dataclass(eq=False, slots=True)
class Shown:
    """Samples that are kept whole; all of them where there is one block.

    order: nodes in the network's order. n_samples: in all. most: samples of either kind that are kept.
    differs: bool (B,), in which samples any two backends have different spikes.
    """

    order: tuple[str, ...]
    n_samples: int
    most: int = KEPT
    differs: NDArray[np.bool_] = field(init=False)
    kept: dict[int, Block] = field(default_factory=dict)
    whole: Block = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.differs = np.zeros(self.n_samples, bool)

    def add(self, block: Block, first: int, named: set[int]) -> None:
        """Keep samples of a block; ``named`` are those that the report points at, of this block or earlier ones.

        Args:
            block: recordings by backend.
            first: the block's first sample among all.
            named: samples, numbered among all.
        """
        n = max(recording.n_samples for recording in block.values())
        self.differs[first : first + n] = differing(block, self.order, n)
        if n == self.n_samples:
            self.whole = block
            return
        known = np.array(sorted(self.kept), np.int64)
        for kind in (True, False):
            room = max(0, self.most - int((self.differs[known] == kind).sum()))
            new = first + np.flatnonzero(self.differs[first : first + n] == kind)
            self._keep(block, first, {int(sample) for sample in new[:room]})
        self._keep(block, first, {sample for sample in named if first <= sample < first + n})

    def _keep(self, block: Block, first: int, samples: set[int]) -> None:
        for sample in samples - set(self.kept):
            place = sample - first
            self.kept[sample] = {name: recording.part(place, place + 1).copied() for name, recording in block.items()}

    @property
    def samples(self) -> tuple[int, ...]:
        """Which samples the recordings hold, from 0."""
        return tuple(range(self.n_samples)) if self.whole else tuple(sorted(self.kept))

    def recordings(self) -> dict[str, Recording]:
        """Return what is kept, by backend; a backend that ran fewer samples holds the first of them only."""
        if self.whole:
            return self.whole
        names = next(iter(self.kept.values()))
        return {name: _joined([self.kept[sample][name] for sample in self.samples]) for name in names}


def differing(block: Block, order: tuple[str, ...], n: int) -> NDArray[np.bool_]:
    """Tell for each of ``n`` samples whether any two backends that ran it have different spikes in any node.

    Args:
        block: recordings by backend; a slow backend may have fewer samples.
        order: nodes to compare.
        n: samples of the block.
    """
    differs = np.zeros(n, bool)
    for a, b in combinations(block.values(), 2):
        held = min(a.n_samples, b.n_samples)
        if not held:
            continue
        a, b = a.first(held), b.first(held)
        for node in both(a, b, order, "spikes"):
            one, two = a.spikes(node), b.spikes(node)
            differs[:held] |= (one != two).any(axis=(0, *range(2, one.ndim)))
    return differs


def _joined(recordings: list[Recording]) -> Recording:
    """Return recordings of single samples as one."""
    some = [recording for recording in recordings if recording.n_samples] or recordings[:1]

    def join(values: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(values, axis=1)

    nodes = {
        node: {key: join([recording.nodes[node][key] for recording in some]) for key in observed}
        for node, observed in some[0].nodes.items()
    }
    counters = {key: join([recording.counters[key] for recording in some]) for key in some[0].counters}
    return Recording(nodes, some[0].meta, counters)

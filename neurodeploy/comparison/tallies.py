"""Sums over blocks of samples, from which a comparison is made: what recordings share, count, and where they differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends import EMULATOR, REFERENCE
from neurodeploy.coding.scoring import Pairs, shared_spikes
from neurodeploy.comparison.measures import Difference, first_difference
from neurodeploy.ir.recording import Recording

OVERFLOWS = {
    "u_wraps": "u left its register and wrapped",
    "v_clips": "v was clipped at the end of its register",
    "input_wraps": "a step's input left the register in which the chip, not the emulator, wraps it",
    "i_saturated": "a current lay at the end of its register",
    "v_saturated": "v lay at the end of its register",
}
"""What is counted of registers that were left, by counter."""

Block = dict[str, Recording]
"""Recordings of the same samples by backend; one that ran fewer samples has fewer, or none at all."""


@dataclass(eq=False, slots=True)
class Agreements:
    """What backends share with the one they are compared with, and where each two first differ.

    order: nodes in the network's order. read: nodes whose ``v`` is read beside their spikes.
    """

    order: tuple[str, ...]
    read: tuple[str, ...] = ()
    base: str = ""
    shares: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    values: dict[str, dict[str, Pairs]] = field(default_factory=dict)
    first: dict[str, tuple[tuple[int, int], Difference] | None] = field(default_factory=dict)

    def add(self, block: Block, first: int) -> None:
        """Count a block whose samples begin with ``first``."""
        self.base = self.base or (REFERENCE if REFERENCE in block else next(iter(block)))
        for one, two in combinations(block, 2):
            n = min(block[one].n_samples, block[two].n_samples)
            a, b = block[one].first(n), block[two].first(n)
            if not n:
                continue
            self._part(f"{one}-{two}", a, b, first)
            if self.base in (one, two):
                other = two if one == self.base else one
                self._share(other, *((a, b) if one == self.base else (b, a)))

    def _part(self, pair: str, a: Recording, b: Recording, first: int) -> None:
        nodes = both(a, b, self.order, "spikes")
        if not nodes:
            return
        found = self.first.setdefault(pair, None)
        if (new := first_difference(a, b, nodes)) is not None:
            place = (new.t, self.order.index(new.node))
            if found is None or place < found[0]:
                self.first[pair] = place, replace(new, sample=new.sample + first)

    def _share(self, name: str, base: Recording, own: Recording) -> None:
        for node in both(base, own, self.order, "spikes"):
            sums = self.shares.setdefault(name, {}).setdefault(node, [0, 0])
            for i, count in enumerate(shared_spikes(base.spikes(node), own.spikes(node))):
                sums[i] += count
        for key in ("value", "v"):
            for node in both(base, own, self.order if key == "value" else self.read, key):
                pairs = self.values.setdefault(name, {}).setdefault(node if key == "value" else f"{node}.v", Pairs())
                pairs.add(base.values(node, key), own.values(node, key))

    def result(self) -> dict[str, Any]:
        """Return the comparison's keys that this counts."""
        return {
            "agreement": {
                name: {node: 1.0 if not either else shared / either for node, (shared, either) in nodes.items()}
                for name, nodes in self.shares.items()
            },
            "agreement_with": self.base,
            "first_difference": {p: None if found is None else found[1].to_dict() for p, found in self.first.items()},
            "values": {
                name: {node: {"unit": "V", **pairs.result()} for node, pairs in nodes.items()}
                for name, nodes in self.values.items()
            },
        }


@dataclass(eq=False, slots=True)
class Events:
    """Spikes by backend and node, what the emulator counts besides, and what entered.

    order: nodes in the network's order. counting: backends whose recordings count events.
    overflows: how often registers were left, by backend, counter and node.
    """

    order: tuple[str, ...]
    counting: tuple[str, ...] = (EMULATOR,)
    overflows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    spikes: dict[str, dict[str, int]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    counters: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)

    def add(self, block: Block, inputs: dict[str, NDArray[Any]]) -> None:
        """Count a block."""
        for name, values in inputs.items():
            self.sent[name] = self.sent.get(name, 0.0) + float(np.count_nonzero(values))
        for name, recording in block.items():
            self.samples[name] = self.samples.get(name, 0) + recording.n_samples
            counts = self.spikes.setdefault(name, {})
            for node in self.order:
                if "spikes" in recording.nodes.get(node, {}):
                    counts[node] = counts.get(node, 0) + int(recording.spikes(node).sum(dtype=np.int64))
        for name in self.counting:
            if name in block:
                self._add_overflows(name, block[name])
        if (emulator := block.get(EMULATOR)) is not None:
            self.nodes = list(emulator.meta["counter_nodes"])
            for key, values in emulator.counters.items():
                self.counters[key] = self.counters.get(key, 0) + values.sum(axis=(0, 1))

    def _add_overflows(self, name: str, recording: Recording) -> None:
        counters = self.overflows.setdefault(name, {})
        for key in OVERFLOWS:
            if key in recording.counters:
                nodes, counts = counters.setdefault(key, {}), recording.counters[key].sum(axis=(0, 1)).tolist()
                for node, count in zip(recording.meta["counter_nodes"], counts, strict=True):
                    nodes[node] = nodes.get(node, 0) + count

    @property
    def fires(self) -> frozenset[str]:
        """Nodes that have spikes on some backend."""
        return frozenset(node for counts in self.spikes.values() for node in counts)

    @property
    def per_sample(self) -> dict[str, NDArray[np.float64]]:
        """What the emulator counts in one sample, by counter, float64 (nodes,)."""
        return {key: counts / self.samples[EMULATOR] for key, counts in self.counters.items()}

    def result(self) -> dict[str, Any]:
        """Return the comparison's ``counters``: events of one sample on average."""
        spikes = {
            name: {node: count / self.samples[name] for node, count in counts.items()}
            for name, counts in self.spikes.items()
        }
        events = {key: dict(zip(self.nodes, counts.tolist(), strict=True)) for key, counts in self.per_sample.items()}
        return {"unit": "events per sample", "spikes": spikes, "emulator": events}


def both(a: Recording, b: Recording, nodes: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Return the nodes that have an observable in both recordings, in the same shape.

    Args:
        a, b: recordings.
        nodes: names of nodes, in the order in which they are returned.
        key: the observable, for instance ``spikes``.
    """
    return tuple(
        node
        for node in nodes
        if key in a.nodes.get(node, {})
        and key in b.nodes.get(node, {})
        and a.nodes[node][key].shape == b.nodes[node][key].shape
    )

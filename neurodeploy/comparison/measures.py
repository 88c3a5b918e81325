"""Measures of how well two recordings agree, where they first differ, and what their outputs decide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.coding.scoring import Pairs, agreement
from neurodeploy.ir.recording import Recording, load_recording, recorded_on

_ALL = ("spikes", "value", "u", "v")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference of two recordings: the earliest row, and in it the first node in the network's order.

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


def first_difference(
    a: Recording, b: Recording, nodes: tuple[str, ...], what: tuple[str, ...] = ("spikes",)
) -> Difference | None:
    """Return where two recordings first differ in time, in what both recorded, or None if they are equal.

    Args:
        a, b: recordings of the same steps and samples.
        nodes: in the network's order.
        what: observables to compare.
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
    """Tell whether two recordings have an observable in common, in the same unit: volts, or codes of one scale."""
    if key not in a.nodes.get(node, {}) or key not in b.nodes.get(node, {}):
        return False
    return key == "spikes" or _unit(a, node, key) == _unit(b, node, key)


def _unit(recording: Recording, node: str, key: str) -> object:
    """Return what a node's values or states are counted in; codes of an unknown scale are those of their program."""
    if recording.nodes[node][key].dtype.kind == "f":
        return "V"
    return recording.meta.get("units", {}).get(node, recording.meta.get("program_sha256"))


def _has_scale(recording: Recording, node: str, key: str) -> bool:
    """Tell whether a recording says what a node's values or states are in the model's units."""
    return recording.nodes[node][key].dtype.kind == "f" or node in recording.meta.get("units", {})


def describe(a: Recording, b: Recording, node: str, key: str, t: int, sample: int | None = None) -> Difference:
    """Return the first difference of a node in row ``t``, of one sample if given.

    Args:
        a, b: recordings in which the node differs in row ``t``.
        node: its name.
        key: the observable, ``spikes``, ``value``, ``v`` or ``u``.
        t: the row.
        sample: the sample, or None for the first that differs.
    """
    one, two = a.nodes[node][key], b.nodes[node][key]
    differs = one[t] != two[t]
    if sample is None:
        sample = int(differs.any(axis=tuple(range(1, differs.ndim))).argmax())
    flat = int(differs[sample].argmax())
    unit = tuple(int(i) for i in np.unravel_index(flat, differs.shape[1:]))
    count = int((one[:, sample] != two[:, sample]).sum())
    return Difference(key, node, sample, t, unit, float(one[(t, sample, *unit)]), float(two[(t, sample, *unit)]), count)


def pairs_of(a: Recording, b: Recording, node: str, key: str = "value") -> dict[str, Any]:
    """Return how far a node's values or states in ``b`` are from those in ``a``, in the model's units.

    Args:
        a, b: recordings of the same samples.
        node: its name.
        key: ``value``, or a state such as ``v``.
    """
    pairs = Pairs()
    pairs.add(a.values(node, key), b.values(node, key))
    return pairs.result()


def diff(
    a: Recording | str | Path,
    b: Recording | str | Path,
    names: tuple[str, str] = ("the first recording", "the second recording"),
) -> dict[str, Any]:
    """Compare two recordings.

    Args:
        a, b: recordings, or the paths of their files.
        names: what they are called in messages.

    Returns:
        JSON-ready: ``agreement`` by node, errors of ``values`` in the model's units, by node and, where ``v`` or ``u``
        are not in the same unit in both, by ``node.v`` and ``node.u``, ``silent``, nodes that fire in neither,
        ``first_difference`` (in spikes, v or u that both recorded; None if equal), ``remarks``, what they do not say of
        themselves, ``only_a`` and ``only_b``, the nodes that one of them lacks, ``apart``, what of a node both recorded
        in units that are not the same, and ``not_judged``, why equality would mean nothing, or None.

    Raises:
        DeployError: they were recorded on different data, or a file is no recording.
        ValueError: they share no node, or not the same steps, samples and shapes.
    """
    a, b = (one if isinstance(one, Recording) else load_recording(Path(one)) for one in (a, b))
    where = " and ".join(names)
    remarks = [recorded_on(a, b.meta.get("data_sha256"), names[0], where), recorded_on(b, None, names[1], where)]
    shared = tuple(node for node in a.nodes if node in b.nodes)
    if not shared:
        raise ValueError(f"the recordings share no node: {sorted(a.nodes)} and {sorted(b.nodes)}")
    for node in shared:
        for key in set(a.nodes[node]) & set(b.nodes[node]):
            one, two = a.nodes[node][key].shape, b.nodes[node][key].shape
            if one != two:
                raise ValueError(f"{key} of {node!r} have shapes {one} and {two}")
    different = first_difference(a, b, shared, _ALL)
    both = [(node, key) for node in shared for key in _ALL if key in a.nodes[node] and key in b.nodes[node]]
    held = [one for one in both if _share(a, b, *one)]
    apart = [one for one in both if one not in held]
    in_volts = [one for one in apart if one[1] in ("u", "v") and _has_scale(a, *one) and _has_scale(b, *one)]
    told = [*(one for one in both if one[1] == "value"), *in_volts]
    silent = [
        node for node in shared if all("spikes" in one.nodes[node] and not one.spikes(node).any() for one in (a, b))
    ]
    return {
        "agreement": {
            node: agreement(a.spikes(node), b.spikes(node))
            for node in shared
            if "spikes" in a.nodes[node] and "spikes" in b.nodes[node]
        },
        "silent": silent,
        "first_difference": None if different is None else different.to_dict(),
        "values": {node if key == "value" else f"{node}.{key}": pairs_of(a, b, node, key) for node, key in told},
        "remarks": [remark for remark in remarks if remark is not None],
        "only_a": sorted(set(a.nodes) - set(b.nodes)),
        "only_b": sorted(set(b.nodes) - set(a.nodes)),
        "apart": [f"{key} of {node}" for node, key in apart],
        "not_judged": _not_judged(held, silent),
    }


def _not_judged(held: list[tuple[str, str]], silent: list[str]) -> str | None:
    """Return why nothing is proved where all that was compared is equal, or None."""
    if not held:
        return "the recordings have no observable in common that is in the same unit in both; record spikes in both"
    if all(key == "spikes" and node in silent for node, key in held):
        return "no node fires in either recording"
    return None

"""The spikes that the report carries for its interactive rasters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.scoring import is_recorded, scores
from neurodeploy.comparison.compare import Comparison
from neurodeploy.ir.recording import Recording

Flat = dict[str, NDArray[Any]]
"""Spikes of one node and sample by backend, ``[T, n]``."""


@dataclass(frozen=True, slots=True)
class RasterLimits:
    """Limits on what a report carries, so that it opens in any browser.

    samples: at most so many. units, spikes: neurons, and spikes of a backend, in one raster.
    total: no further sample once so many spikes are in.
    """

    samples: int = 12
    units: int = 4000
    spikes: int = 20_000
    total: int = 1_000_000


def raster_data(comparison: Comparison, limits: RasterLimits | None = None) -> dict[str, Any]:
    """Return the spikes that the report shows, JSON-ready.

    Args:
        comparison: with spikes of all nodes.
        limits: how much to carry.

    Returns:
        ``start`` (what to show first), ``nodes`` (name, shape), ``backends``, ``steps``, ``recorded`` (samples in
        all), ``differing`` (how many of them differ) and ``samples``, those in which backends differ first. A sample
        has ``rasters`` in the order of ``nodes``; a raster has ``spikes`` in the order of ``backends``, None where
        one did not run: row * neurons + neuron, each but the first as its distance from the one before.
    """
    limits = limits or RasterLimits()
    recordings, labels = comparison.recordings, comparison.data.labels
    nodes = [
        (p.name, p.shape)
        for p in comparison.network.populations
        if any(_has(r, p.name, p.shape) for r in recordings.values())
    ]
    differs, place = comparison.differs, {sample: i for i, sample in enumerate(comparison.shown)}
    decisions = {name: _decisions(comparison, name) for name in recordings}
    samples: list[dict[str, Any]] = []
    room = limits.total
    for sample in choose_samples(differs, _named_samples(comparison.result), limits.samples, comparison.shown):
        rasters = [_raster(recordings, name, shape, place[sample], limits) for name, shape in nodes]
        room -= sum(len(codes) for raster in rasters for codes in raster["spikes"] if codes is not None)
        if samples and room < 0:
            break
        samples.append(
            {
                "index": sample,
                "label": None if labels is None else int(labels[sample]),
                "differs": bool(differs[sample]),
                "decisions": [_decision(of_backend, sample) for of_backend in decisions.values()],
                "rasters": rasters,
            }
        )
    return {
        "start": _start(comparison),
        "nodes": [{"name": name, "shape": list(shape)} for name, shape in nodes],
        "backends": list(recordings),
        "steps": comparison.result["steps"],
        "recorded": len(differs),
        "differing": int(differs.sum()),
        "counts": getattr(comparison.answers.settled.decision, "rule", None) == "count",
        "samples": samples,
    }


def choose_samples(
    differs: NDArray[np.bool_], named: list[int], most: int, kept: tuple[int, ...] | None = None
) -> list[int]:
    """Return the samples to show: those named in the report, others that differ, others that agree, each a spread.

    Args:
        differs: bool (B,).
        named: samples that the report's sentences point at.
        most: at most so many.
        kept: the samples of which there are recordings; None for all.
    """
    there = set(range(len(differs)) if kept is None else kept)
    chosen = [sample for sample in dict.fromkeys(named) if sample in there][:most]
    for group in (np.flatnonzero(differs), np.flatnonzero(~differs)):
        left = [int(sample) for sample in group if sample in there and sample not in chosen]
        room = min(most - len(chosen), len(left))
        chosen += [left[i] for i in np.linspace(0, len(left) - 1, room).astype(int)] if room else []
    return sorted(chosen, key=lambda sample: (not differs[sample], sample))


def comparable_nodes(a: Recording, b: Recording, order: list[str]) -> list[str]:
    """Return the nodes whose spikes both recordings have in the same shape.

    Args:
        a, b: recordings.
        order: names of nodes, in the order in which they are returned.
    """
    both = [node for node in order if "spikes" in a.nodes.get(node, {}) and "spikes" in b.nodes.get(node, {})]
    return [node for node in both if a.spikes(node).shape[2:] == b.spikes(node).shape[2:]]


def _start(comparison: Comparison) -> dict[str, Any]:
    """Return the first difference as a choice of sample, node and backends; nothing if backends agree."""
    for a, b in combinations(comparison.recordings, 2):
        if (different := comparison.result["first_difference"].get(f"{a}-{b}")) is not None:
            return {"sample": different["sample"], "node": different["node"], "a": a, "b": b}
    return {}


def _has(recording: Recording, node: str, shape: tuple[int, ...]) -> bool:
    return "spikes" in recording.nodes.get(node, {}) and recording.spikes(node).shape[2:] == shape


def _named_samples(result: dict[str, Any]) -> list[int]:
    """Return the samples of all first differences that the report tells of."""
    found = [*result["first_difference"].values(), *(e.get("first_difference") for e in result["equalities"].values())]
    return [difference["sample"] for difference in found if difference is not None]


def _decisions(comparison: Comparison, name: str) -> tuple[NDArray[np.int64], dict[int, float]] | None:
    """Return each sample's class, and the score of those that are shown, or None where a backend decides nothing."""
    decision, answers = comparison.answers.settled.decision, comparison.answers.of(name)
    if decision is None or answers is None or not is_recorded(comparison.recordings[name], decision):
        return None
    best = scores(comparison.recordings[name], decision).max(axis=1)
    return answers, dict(zip(comparison.shown, best.tolist(), strict=False))


def _decision(decisions: tuple[NDArray[np.int64], dict[int, float]] | None, sample: int) -> list[Any] | None:
    """Return a sample's class and score, or None where the backend did not run it."""
    if decisions is None or sample >= len(decisions[0]):
        return None
    return [int(decisions[0][sample]), round(decisions[1].get(sample, 0.0), 6)]


def _raster(
    recordings: dict[str, Recording], node: str, shape: tuple[int, ...], sample: int, limits: RasterLimits
) -> dict[str, Any]:
    """Return one node's spikes in one sample by backend, cut to the limits for all backends alike."""
    flat = {
        name: recording.spikes(node)[:, sample].reshape(recording.n_steps, -1)
        for name, recording in recordings.items()
        if sample < recording.n_samples and _has(recording, node, shape)
    }
    n_units = prod(shape)
    kept, note = _kept_units(flat, n_units, limits.units)
    rows, cut = _kept_rows(flat, kept, limits.spikes)
    spikes: list[list[int] | None] = []
    values: list[list[Any] | None] = []
    for name in recordings:
        if name not in flat:
            spikes.append(None)
            values.append(None)
            continue
        t, place = np.nonzero(flat[name][:rows, kept])
        codes = t.astype(np.int64) * n_units + kept[place]
        spikes.append(np.diff(codes, prepend=0).tolist())
        sizes = flat[name][t, kept[place]]
        values.append(None if (sizes == 1).all() else sizes.tolist())
    raster: dict[str, Any] = {"spikes": spikes, "note": " ".join(filter(None, (note, cut)))}
    if any(v is not None for v in values):
        raster["values"] = values
    return raster


def _kept_units(flat: Flat, n_units: int, most: int) -> tuple[NDArray[np.int64], str]:
    """Return the neurons to show, those that differ before others, and what to say where some are left out."""
    if n_units <= most:
        return np.arange(n_units), ""
    differs = np.zeros(n_units, bool)
    for a, b in combinations(flat.values(), 2):
        differs |= (a != b).any(axis=0)
    kept = np.sort(np.argsort(~differs, kind="stable")[:most])
    n = int(differs.sum())
    which = (
        f"all {n:,} that differ and the first of the others"
        if n <= most
        else f"the first {most:,} of {n:,} that differ"
    )
    return kept, f"Cut: {most:,} of {n_units:,} neurons are shown ({which})."


def _kept_rows(flat: Flat, kept: NDArray[np.int64], most: int) -> tuple[int, str]:
    """Return how many leading rows hold at most so many spikes in each backend, and what to say of rows left out."""
    steps = next((len(raster) for raster in flat.values()), 0)
    ends = [int((np.cumsum(np.count_nonzero(raster[:, kept], axis=1)) <= most).sum()) for raster in flat.values()]
    rows = min(ends, default=0)
    if rows == steps:
        return rows, ""
    return rows, f"Cut: the first {rows:,} of {steps:,} rows are shown, with at most {most:,} spikes of a backend."

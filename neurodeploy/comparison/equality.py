"""Whether the reference fires the very spikes of the training framework, but for what rounding decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.backends.base import Inputs
from neurodeploy.comparison.measures import first_difference
from neurodeploy.comparison.ties import is_tie
from neurodeploy.errors import DeployError
from neurodeploy.network import Network
from neurodeploy.recording import Recording


def reference_equals(network: Network, inputs: Inputs, reference: Recording, trained: Recording) -> dict[str, Any]:
    """Hold the reference's spikes against the framework's own, sample by sample up to where they part.

    Args:
        network: what the reference ran.
        inputs: ``[T, B, *shape]``, what both ran on.
        reference: with the spikes of all populations.
        trained: the framework's recording.

    Returns:
        JSON-ready: ``status`` (``pass`` or ``fail``), ``reason``, ``ties`` and, after a failure, ``first_difference``.

    Raises:
        DeployError: the recordings share no node, or are of different data.
    """
    order = tuple(population.name for population in network.populations)
    shared = tuple(node for node in order if "spikes" in trained.nodes.get(node, {}))
    _check_shapes(reference, trained, order, shared)
    ties, broken = 0, None
    for sample in _different_samples(reference, trained, shared):
        one, two = _one_sample(reference, sample), _one_sample(trained, sample)
        different = first_difference(one, two, shared)
        assert different is not None
        units = (one.spikes(different.node) != two.spikes(different.node))[different.t, 0]
        near = is_tie(network, inputs, reference, different.node, sample, different.t)
        if broken is None and not near[units].all():
            broken = replace(different, sample=sample)
        ties += int((near & units).sum())
    scope = f"spikes of {len(shared)} of {len(order)} nodes on {reference.n_samples} samples"
    found = {"ties": ties, "samples": reference.n_samples}
    if broken is not None:
        return {
            "status": "fail",
            "reason": f"they differ in {scope}",
            "first_difference": broken.to_dict(),
            **found,
        }
    reason = f"equal but for {ties} rounding ties in {scope}" if ties else f"equal in {scope}"
    return {"status": "pass", "reason": reason, **found}


def _check_shapes(reference: Recording, trained: Recording, order: tuple[str, ...], shared: tuple[str, ...]) -> None:
    if not shared:
        raise DeployError(
            f"the trained recording has none of the model's nodes {list(order)}",
            where="--trained",
            fix="Record it with `export`.",
        )
    for node in shared:
        ours, theirs = reference.spikes(node).shape, trained.spikes(node).shape
        if ours != theirs:
            raise DeployError(
                f"the trained recording of {node!r} has shape {theirs}, the reference {ours}",
                where="--trained",
                fix="Record the framework on the same data.",
            )


def _different_samples(a: Recording, b: Recording, nodes: tuple[str, ...]) -> list[int]:
    differs = np.zeros(a.n_samples, bool)
    for node in nodes:
        one, two = a.spikes(node), b.spikes(node)
        differs |= (one != two).any(axis=(0, *range(2, one.ndim)))
    return [int(sample) for sample in np.flatnonzero(differs)]


def _one_sample(recording: Recording, sample: int) -> Recording:
    nodes = {n: {"spikes": o["spikes"][:, sample : sample + 1]} for n, o in recording.nodes.items() if "spikes" in o}
    return Recording(nodes, recording.meta)

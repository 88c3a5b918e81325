"""Changes of a network where a chip lacks something, and what they cost: the rung ``neuron`` of the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.calibration import Calibration
from neurodeploy.coding.scoring import agreement, decide
from neurodeploy.ir.decision import Decision, class_count, settle_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording


@dataclass(frozen=True, slots=True)
class Approximation:
    """The changes to a population, in words."""

    node: str
    changes: tuple[str, ...]


def measure_changes(trained: Calibration, nearest: Network, changes: tuple[Approximation, ...]) -> dict[str, Any]:
    """Return what :func:`measure` finds of a network beside the one that it was made from.

    Args:
        trained: what the float model does as it was trained.
        nearest: the network that ``changes`` made of it.
        changes: what was approximated.
    """
    settled = settle_decision(trained.network, None, class_count(trained.labels))
    return measure(trained.recording, trained.of(nearest).recording, trained.labels, changes, settled.decision)


def measure(
    before: Recording,
    after: Recording,
    labels: NDArray[np.int64] | None,
    changes: tuple[Approximation, ...],
    decision: Decision | None = None,
) -> dict[str, Any]:
    """Return what an approximation changed on calibration data, JSON-ready: the rung ``neuron`` of the ladder.

    Args:
        before: of the float model as it was trained. after: of the approximated one.
        labels: int64 (B,), or None.
        changes: what was approximated.
        decision: how a sample is decided, or None where nobody chose, so that accuracy is not measured.
    """
    measured: dict[str, Any] = {
        "rung": "neuron",
        "samples": before.n_samples,
        "changes": {
            node: [what for change in changes if change.node == node for what in change.changes]
            for node in dict.fromkeys(change.node for change in changes)
        },
        "agreement": {
            name: agreement(one["spikes"], after.nodes[name]["spikes"])
            for name, one in before.nodes.items()
            if "spikes" in one
        },
    }
    if labels is not None and decision is not None:
        measured["accuracy"] = {
            "reference": float((decide(before, decision) == labels).mean()),
            "neuron": float((decide(after, decision) == labels).mean()),
        }
    return measured


def approximation_sentence(measured: dict[str, Any]) -> str:
    """Return what :func:`measure` found as a sentence."""
    changes = "; ".join(f"{node}: {', '.join(what)}" for node, what in measured["changes"].items())
    common = ", ".join(f"{node} {share:.1%}" for node, share in measured["agreement"].items())
    text = f"approximated ({changes}); on {measured['samples']} calibration samples spikes in common: {common}"
    if (accuracy := measured.get("accuracy")) is not None:
        text += f"; accuracy {accuracy['reference']:.2%} before, {accuracy['neuron']:.2%} after"
    return text

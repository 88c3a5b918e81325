"""Scores of a recording: what it decides, what it shares with another, and how sure a share is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.ir.decision import FORM, MEMBRANE, Decision, parse_decision
from neurodeploy.ir.recording import Recording


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the share of spikes that two rasters have in common: shared over all, 1 where neither fires.

    Args:
        a, b: of any dtype, of one shape.
    """
    shared, either = shared_spikes(a, b)
    return shared / either if either else 1.0


def shared_spikes(a: NDArray[Any], b: NDArray[Any]) -> tuple[int, int]:
    """Return how many spikes two rasters of one shape and any dtype have in common, and how many either has."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return int(np.count_nonzero((a == b) & (a != 0))), either


@dataclass(eq=False, slots=True)
class Pairs:
    """Numbers compared with those they are to meet, summed so that blocks can be added.

    sums: of both, of their squares and product, of the size and square of their difference; n: how many pairs.
    """

    n: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(7))

    def add(self, wanted: NDArray[Any], found: NDArray[Any]) -> None:
        """Add pairs: numbers of any dtype, of one shape."""
        a, b = np.asarray(wanted, np.float64).ravel(), np.asarray(found, np.float64).ravel()
        difference = b - a
        self.n += a.size
        self.sums += (a.sum(), b.sum(), a @ a, b @ b, a @ b, np.abs(difference).sum(), difference @ difference)

    def result(self) -> dict[str, Any]:
        """Return mean squared and mean absolute error, and Pearson's correlation (None where one of both is constant).

        ``spread`` is the standard deviation of what was to be met.
        """
        a, b, aa, bb, ab, size, square = (self.sums / max(self.n, 1)).tolist()
        of_a, of_b = aa - a * a, bb - b * b
        varies = of_a > 1e-12 * aa and of_b > 1e-12 * bb
        correlation = max(-1.0, min(1.0, (ab - a * b) / sqrt(of_a * of_b))) if varies else None
        return {
            "numbers": self.n,
            "mean_squared_error": square,
            "mean_absolute_error": size,
            "correlation": correlation,
            "spread": sqrt(max(of_a, 0.0)),
        }


def decide(recording: Recording, decision: Decision | None = None) -> NDArray[np.int64]:
    """Return the class of each sample, int64 (B,): the one with the highest score, the lowest index in a tie.

    Args:
        recording: with what the decision reads.
        decision: how; None for what the recording says, or else the spikes of its only output, counted.

    Raises:
        DeployError: the recording lacks what is read, or nobody said how its values decide.
    """
    return winners(scores(recording, decision or _own_decision(recording)))[0]


def scores(recording: Recording, decision: Decision) -> NDArray[np.float64]:
    """Return what speaks for each class, float64 (B, classes); the highest decides.

    Values are in the model's units where the recording says what they are.
    """
    rows = read_rows(recording, decision)
    if decision.groups is not None:
        rows = rows.reshape(*rows.shape[:2], decision.groups, -1).sum(axis=3, dtype=_wide(rows))
    match decision.rule:
        case "first":
            fired = rows != 0
            found = -np.where(fired.any(axis=0), fired.argmax(axis=0), len(rows))
        case "max":
            found = rows.max(axis=0)
        case "last":
            found = rows[-1]
        case "mean":
            found = rows.sum(axis=0, dtype=_wide(rows)) / len(rows)
        case _:
            found = rows.sum(axis=0, dtype=_wide(rows))
    return np.asarray(found, np.float64)


def winners(found: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the class of each sample, and whether another one scores as high: int64 and bool (B,)."""
    best = found.max(axis=1, keepdims=True)
    return found.argmax(axis=1), (found == best).sum(axis=1) > 1


def read_rows(recording: Recording, decision: Decision) -> NDArray[Any]:
    """Return what a decision reads, ``[T, B, units]``: integers for spikes, float for values in the model's units.

    Raises:
        DeployError: it was not recorded.
    """
    node, key = _read(recording, decision)
    if key is None:
        raise DeployError(
            f"{decision.output} decides, but it was not recorded", where="--record-nodes", fix=f"Record {node} as well."
        )
    values = recording.spikes(node) if key == "spikes" else recording.values(node, key)
    return values.reshape(*values.shape[:2], -1)


def is_recorded(recording: Recording, decision: Decision) -> bool:
    """Tell whether what a decision reads was recorded."""
    return _read(recording, decision)[1] is not None


def _read(recording: Recording, decision: Decision) -> tuple[str, str | None]:
    """Return the node that a decision reads, and which of its observables; None where that was not recorded."""
    name = decision.output or ""
    is_node = name in recording.nodes
    node = name if is_node else name.removesuffix(MEMBRANE)
    observed = recording.nodes.get(node, {})
    wanted = ("spikes", "value") if is_node else ("v", "value")
    return node, next((key for key in wanted if key in observed and observed[key].size), None)


def _wide(rows: NDArray[Any]) -> type:
    return np.float64 if rows.dtype.kind == "f" else np.int64


def _own_decision(recording: Recording) -> Decision:
    """Return what a recording says of its decision, or the plain case."""
    if (text := recording.meta.get("decision")) is not None:
        return parse_decision(text)
    outputs = recording.outputs
    if len(outputs) == 1 and "spikes" in recording.nodes.get(outputs[0], {}):
        return Decision("count", outputs[0])
    raise DeployError(
        f"nothing says which of the outputs {known(outputs)} decides, and by which rule",
        where="--decide",
        fix=f"Write {FORM}, or Decision(...).",
    )


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    z = 1.959964
    share, scale = correct / n, 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, float | int]:
    """Compare two classifiers, sample by sample, in the exact two-sided test.

    Args:
        one, other: which samples each decides rightly, bool (B,).

    Returns:
        ``lost``, samples that only ``one`` decides rightly, ``gained``, those that only ``other`` does, and ``p``, the
        probability of a split at least as uneven if neither were better.

    Source: McNemar 1947, doi:10.1007/BF02295996; the exact form is the binomial test of the discordant pairs.
    """
    lost, gained = int((one & ~other).sum()), int((other & ~one).sum())
    n = lost + gained
    tail = sum(comb(n, k) for k in range(min(lost, gained) + 1))
    return {"lost": lost, "gained": gained, "p": min(1.0, 2 * tail / 2**n)}

"""How good a recording is: what it decides, what it shares with another, and how sure a share is."""

from __future__ import annotations

from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.recording import Recording


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the share of spikes that two rasters have in common: shared over all, 1 where neither fires."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return 1.0 if not either else int(np.count_nonzero((a == b) & (a != 0))) / either


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


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, float | int]:
    """Hold two classifiers against each other, sample by sample, in the exact two-sided test.

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

"""Schedule each population's rows on hardware, where every connection takes at least one step."""

from __future__ import annotations

from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network, Projection

CONNECTION_STEPS = 1
"""A spike that leaves in one step arrives in the next (Lava, Loihi)."""


def schedule(network: Network, steps: dict[str, int] | None = None) -> tuple[dict[str, int], dict[Projection, int]]:
    """Return each population's latency and each projection's hardware delay.

    A spike of row r leaves ``source`` at hardware step ``r + latency[source]`` and must act on row ``r + delay`` of
    ``target``, so ``hardware delay = latency[target] - latency[source] + delay >= steps[source]``. The latencies are
    the longest paths under these constraints; where paths of unequal length meet, the shorter one gets the difference
    as a delay, however long: see a family's relays for what no connection can wait.

    Args:
        network: any network.
        steps: that a connection takes at least, by the name of its source; None is one step each.

    Raises:
        DeployError: a loop would need a connection faster than one step.
    """
    takes = dict.fromkeys(network.shapes, CONNECTION_STEPS) if steps is None else steps
    latency, after = dict.fromkeys(network.shapes, 0), {p: acts_after(p, network) for p in network.projections}
    for _ in range(len(latency) + 1):
        late = [p for p in network.projections if latency[p.target] < latency[p.source] + takes[p.source] - after[p]]
        if not late:
            break
        for projection in late:
            earliest = latency[projection.source] + takes[projection.source] - after[projection]
            latency[projection.target] = max(latency[projection.target], earliest)
    else:
        raise DeployError(
            f"{late[0].name} is in a loop that takes fewer steps in the model than it has connections, and on the"
            " chip every connection takes a step",
            where=late[0].name,
            fix="Give the loop's recurrent edge a delay of one step for each connection in the loop.",
        )
    return latency, {p: latency[p.target] - latency[p.source] + after[p] for p in network.projections}


def acts_after(projection: Projection, network: Network) -> int:
    """Return the steps from a spike to its effect on v; one more where v sees the current of the step before."""
    target = network.population(projection.target)
    return projection.delay + (target.decay_syn is not None and target.rule.order == "use-decay-add")

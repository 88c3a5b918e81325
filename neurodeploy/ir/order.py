"""Order populations for stepping: loops together, all else one after the other."""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np

from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program


def components(network: Network | Program) -> tuple[tuple[str, ...], ...]:
    """Return the populations in groups, each group after all that feed it.

    A group is one population, or all that feed each other in a loop, whatever the delays; within a group they keep the
    network's order.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = [population.name for population in network.populations]
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[p.source], place[p.target]) for p in network.projections if p.source in place]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    _, group_of = connected_components(graph, directed=True, connection="strong")
    feeds: dict[int, set[int]] = {int(group): set() for group in group_of}
    for source, target in pairs:
        if group_of[source] != group_of[target]:
            feeds[int(group_of[target])].add(int(group_of[source]))
    order = TopologicalSorter({group: sorted(feeds[group]) for group in sorted(feeds)}).static_order()
    return tuple(tuple(name for name in names if group_of[place[name]] == group) for group in order)

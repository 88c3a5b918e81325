"""The order of populations within a step, and the edges that take a step."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.errors import DeployError
from neurodeploy.importers.loops import find_back_edges, order_populations
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode

NAMES = "abcdefg"

graphs = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True)).map(
    lambda fed: {a: [b for b in fed.get(a, []) if b != a] for a in NAMES}
)


def graph_of(fed: dict[str, list[str]]) -> NirGraph:
    """Return a graph whose input feeds ``a``."""
    neurons = {name: NirNode("LIF", {}) for name in fed}
    edges = {("input", "a"), *((a, b) for a, targets in fed.items() for b in targets)}
    return NirGraph({"input": NirNode("Input", {"shape": np.array([1])}), **neurons}, tuple(sorted(edges)), {}, "f")


def edges_back_of_a_walk(fed: dict[str, list[str]], rng: np.random.Generator) -> set[tuple[str, str]]:
    """Return the edges to a node on the path that a walk, depth first from ``a``, has come by."""
    found: set[tuple[str, str]] = set()
    seen: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        seen.add(name)
        for target in rng.permutation(fed[name]).tolist() if fed[name] else []:
            if target in path:
                found.add((name, target))
            elif target not in seen:
                walk(target, (*path, target))

    walk("a", ("a",))
    return found


@given(graphs, st.integers(0, 2**32 - 1))
def test_edges_back_are_those_of_any_walk_from_the_inputs(fed: dict[str, list[str]], seed: int) -> None:
    reached = {"a"}
    for _ in NAMES:
        reached |= {target for name in reached for target in fed[name]}
    fed = {name: targets for name, targets in fed.items() if name in reached}
    try:
        back = find_back_edges(fed, ["a"], "f")
    except DeployError:
        assert edges_back_of_a_walk(fed, np.random.default_rng(seed))  # the loop that is refused is there
        return
    assert back == edges_back_of_a_walk(fed, np.random.default_rng(seed))


@given(graphs)
def test_each_population_comes_after_those_that_feed_it_within_a_step(fed: dict[str, list[str]]) -> None:
    try:
        order, take_a_step = order_populations(graph_of(fed), list(NAMES))
    except DeployError:
        return
    place = {name: i for i, name in enumerate(order)}
    within = [(a, b) for a, targets in fed.items() for b in targets if (a, b) not in take_a_step]
    assert sorted(order) == sorted(NAMES)
    assert all(place[a] < place[b] for a, b in within)


def test_a_loop_that_can_be_entered_at_two_places_is_refused() -> None:
    with pytest.raises(DeployError, match="edge:c->b=delayed"):
        find_back_edges({"a": ["b", "c"], "b": ["c"], "c": ["b"]}, ["a"], "f")


def test_a_long_chain_of_loops_takes_no_time() -> None:
    names = [f"n{i:03}" for i in range(500)][::-1]  # each feeds the one that comes before it in sorted order
    fed = {name: [*names[i + 1 : i + 2], *names[max(i - 1, 0) : i]] for i, name in enumerate(names)}
    started = perf_counter()
    back = find_back_edges(fed, names[:1], "f")
    assert back == {(b, a) for a, b in pairwise(names)}
    assert perf_counter() - started < 5

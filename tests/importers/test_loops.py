"""The order of populations within a step, and the edges that take a step."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.errors import DeployError
from neurodeploy.importers.loops import find_back_edges, order_populations
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode
from neurodeploy.ir.network import Network
from tests.conftest import chain_edges
from tests.importers.graphs import BATCH, STEPS, currents, euler, network_of, played, ports

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


def test_two_populations_in_a_loop_take_a_step_on_the_way_back(rng: np.random.Generator) -> None:
    w, back = rng.normal(0, 1, (2, 2)), rng.normal(0, 1, (2, 2))
    nodes = {**ports(2, 2), "a": euler(), "w": nir.Linear(w), "b": euler(), "back": nir.Linear(back)}
    edges = [*chain_edges("input", "a", "w", "b", "output"), *chain_edges("b", "back", "a")]
    network = network_of(nodes, edges)
    assert {(p.source, p.target): p.delay for p in network.projections}["b", "a"] == 1
    x = currents(rng, 2)
    got = played(network, input=x)
    va, vb, sb = (np.zeros((BATCH, 2)) for _ in range(3))
    for t in range(STEPS):
        va = 0.8 * va + x[t] + sb @ back.T
        sa = va > 1
        va[sa] = 0
        vb = 0.8 * vb + sa @ w.T
        sb = vb > 1
        vb[sb] = 0
        np.testing.assert_array_equal(got.spikes("a")[t], sa)
        np.testing.assert_array_equal(got.spikes("b")[t], sb)


def pair(first: str, second: str, *entries: str) -> Network:
    """Two populations that feed each other; ``entries`` are those that the input feeds."""
    nodes = {**ports(2, 2), first: euler(), second: euler()}
    edges = [*[("input", name) for name in entries], (first, second), (second, first), (second, "output")]
    return network_of(nodes, edges)


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_the_edge_back_to_where_a_loop_is_entered_takes_the_step(first: str, second: str) -> None:
    delays = {(p.source, p.target): p.delay for p in pair(first, second, first).projections}
    assert (delays[first, second], delays[second, first]) == (0, 1)


def test_a_loop_that_is_entered_at_two_places_is_asked_about() -> None:
    with pytest.raises(DeployError, match="the file does not say which edge takes a step") as caught:
        pair("a", "b", "a", "b")
    assert "edge:a->b=delayed" in caught.value.fix
    assert "edge:b->a=delayed" in caught.value.fix


@pytest.mark.parametrize(("edge", "delays"), [("a->b", (1, 0)), ("b->a", (0, 1))])
def test_an_edge_that_is_said_to_be_delayed_takes_the_step(edge: str, delays: tuple[int, int]) -> None:
    nodes = {**ports(2, 2), "a": euler(), "b": euler()}
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "a"), ("b", "output")]
    network = network_of(nodes, edges, f"nir,dt=1e-3,edge:{edge}=delayed")
    found = {(p.source, p.target): p.delay for p in network.projections}
    assert (found["a", "b"], found["b", "a"]) == delays


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("edge:b->b=delayed", "no path leads from 'b' to 'b'"),
        ("edge:a->x=delayed", "no neuron 'x'"),
        ("edge:a=delayed", "does not name an edge"),
    ],
)
def test_an_edge_that_is_not_there_is_refused(said: str, message: str) -> None:
    nodes = {**ports(2, 2), "a": euler(), "b": euler()}
    with pytest.raises(DeployError, match=message):
        network_of(nodes, chain_edges("input", "a", "b", "output"), f"nir,dt=1e-3,{said}")

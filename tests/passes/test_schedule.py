"""Latencies and delays under which hardware rows mean the model's rows."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Linear
from neurodeploy.passes.schedule import schedule


def network(*edges: tuple[str, str, int]) -> Network:
    names = sorted({name for source, target, _ in edges for name in (source, target)} - {"in"})
    populations = tuple(Population(n, (1,), NeuronRule(), decay_mem=0.5, threshold=1.0) for n in names)
    one = (Linear(np.ones((1, 1), np.float32)),)
    return Network(
        {"in": (1,)}, populations, tuple(Projection(a, b, one, d) for a, b, d in edges), (names[-1],), 1.0, "nir"
    )


def delays(net: Network) -> tuple[dict[str, int], dict[str, int]]:
    latency, by_projection = schedule(net)
    return latency, {p.name: d for p, d in by_projection.items()}


def test_each_layer_comes_one_step_after_the_one_before() -> None:
    latency, delay = delays(network(("in", "a", 0), ("a", "b", 0), ("b", "c", 0)))
    assert latency == {"in": 0, "a": 1, "b": 2, "c": 3}
    assert set(delay.values()) == {1}


def test_a_skip_connection_waits_for_the_longer_path() -> None:
    latency, delay = delays(network(("in", "a", 0), ("a", "b", 0), ("b", "c", 0), ("in", "c", 0)))
    assert latency["c"] == 3
    assert delay["in -> c"] == 3


def test_a_recurrent_edge_keeps_the_step_it_was_trained_with() -> None:
    latency, delay = delays(network(("in", "a", 0), ("a", "a", 1)))
    assert latency["a"] == 1
    assert delay["a -> a"] == 1


def test_a_loop_faster_than_the_hardware_is_refused() -> None:
    with pytest.raises(DeployError, match="is in a loop that takes fewer steps in the model than it has connections"):
        schedule(network(("in", "a", 0), ("a", "b", 0), ("b", "a", 1)))


def test_a_loop_with_a_step_for_each_connection_is_scheduled() -> None:
    _, delay = delays(network(("in", "a", 0), ("a", "b", 1), ("b", "a", 1)))
    assert delay["a -> b"] + delay["b -> a"] == 2

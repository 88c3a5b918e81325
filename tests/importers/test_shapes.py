"""Shapes of a graph's nodes, in which order they follow, and what is found where they do not fit."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir
from neurodeploy.importers.shapes import batch_axes, infer_shapes, order_of
from neurodeploy.importers.structure import structure_findings
from tests.conftest import chain_edges, lif


def port(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def end(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def graph(nodes: dict[str, Any], edges: list[tuple[str, str]] | None = None) -> NirGraph:
    return graph_from_nir(nir.NIRGraph(nodes, edges or chain_edges(*nodes), type_check=False))


def found(of: NirGraph) -> list[tuple[str, str]]:
    return sorted((one.code, one.node) for one in structure_findings(of))


def linear(n_out: int, n_in: int) -> nir.Linear:
    return nir.Linear(np.ones((n_out, n_in), np.float32))


def test_shapes_follow_from_the_inputs() -> None:
    conv = nir.Conv2d(None, np.ones((4, 2, 3, 3), np.float32), 2, 1, 1, 1, np.zeros(4))
    flat = nir.Flatten({"input": np.array([4, 3, 3])}, 0, -1)
    one = graph({"a": port(2, 6, 5), "conv": conv, "n": lif((4, 3, 3)), "f": flat, "fc": linear(7, 36), "o": end(7)})
    shapes = infer_shapes(one)
    assert shapes.leaving == {"a": (2, 6, 5), "conv": (4, 3, 3), "n": (4, 3, 3), "f": (36,), "fc": (7,), "o": (7,)}
    assert shapes.findings == []
    assert found(one) == []


def test_what_meets_in_a_node_has_one_shape() -> None:
    nodes = {"a": port(3), "p": linear(4, 3), "q": linear(5, 3), "n": lif((4,)), "o": end(4)}
    edges = [("a", "p"), ("a", "q"), ("p", "n"), ("q", "n"), ("n", "o")]
    (one,) = infer_shapes(graph(nodes, edges)).findings
    assert (one.code, one.node, one.value) == ("shape", "n", "p [4], q [5]")


def test_weights_that_do_not_fit_are_found_with_what_enters() -> None:
    (one,) = infer_shapes(graph({"a": port(3), "fc": linear(4, 9), "n": lif((4,)), "o": end(4)})).findings
    assert (one.code, one.node) == ("shape", "fc")


def test_a_batch_in_front_of_the_input_is_no_axis_of_a_sample() -> None:
    one = graph({"a": port(1, 3), "fc": linear(4, 3), "n": lif((4,)), "o": end(1, 4)})
    axes = batch_axes(one)
    assert axes == 1
    assert infer_shapes(one, axes).leaving["a"] == (3,)
    assert ("batch-dimension", "a") in found(one)
    assert ("batch-dimension", "o") in found(one)


def test_an_output_of_another_shape_is_found_but_not_a_flat_one() -> None:
    assert found(graph({"a": port(3), "n": lif((3,)), "o": end(5)})) == [("shape", "o")]
    assert found(graph({"a": port(2, 3), "n": lif((2, 3)), "o": end(6)})) == []


def test_parameters_of_one_value_are_found_on_every_neuron() -> None:
    one = graph({"a": port(3), "fc": linear(3, 3), "n": lif((1,)), "m": lif((1,)), "o": end(3)})
    assert found(one) == [("scalar", "m"), ("scalar", "n")]


def test_nodes_come_after_one_that_feeds_them_and_unreached_ones_last() -> None:
    nodes = {"late": linear(3, 3), "o": end(3), "n": lif((3,)), "fc": linear(3, 3), "rec": linear(3, 3), "a": port(3)}
    edges = [("a", "fc"), ("fc", "n"), ("n", "rec"), ("rec", "n"), ("n", "o")]
    assert order_of(graph(nodes, edges)) == ["a", "fc", "n", "o", "rec", "late"]


def test_parameters_of_another_shape_are_found_with_what_enters() -> None:
    (one,) = infer_shapes(graph({"a": port(3), "n": lif((4,)), "o": end(4)})).findings
    assert one.what == "LIF has parameters of other shapes than its input, which has shape [3]"
    assert (one.code, one.node, one.value.startswith("tau [4], ")) == ("shape", "n", True)
    assert one.is_pressing

"""Linear nodes of a graph as operations, with NIR's ways to write strides and padding."""

from __future__ import annotations

import json
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.operations import operation
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Sparse
from tests.conftest import DT, ZERO, chain_edges, lif
from tests.importers.graphs import currents, network_of, played, ports

WHERE = "m.nir, node 'n'"
BIAS = np.arange(4.0)


def conv2d(kernel: tuple[int, int] = (3, 5), **options: Any) -> NirNode:
    values: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2, "bias": BIAS, **options}
    return NirNode("Conv2d", {"weight": np.ones((4, 1, *kernel)), **values})


def conv1d(**options: Any) -> NirNode:
    values: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2, "bias": BIAS, **options}
    return NirNode("Conv1d", {"weight": np.ones((4, 1, 3)), **values})


@pytest.mark.parametrize(
    ("padding", "dilation", "expected"),
    [
        ("valid", 1, (0, 0)),
        (b"valid", (2, 3), (0, 0)),
        ("same", 1, (1, 2)),
        (b"same", (2, 3), (2, 6)),
        (2, 1, (2, 2)),
        (np.array([1, 3]), 1, (1, 3)),
    ],
)
def test_padding_is_numbers_or_what_keeps_the_size(padding: Any, dilation: Any, expected: tuple[int, int]) -> None:
    found = operation(conv2d(padding=padding, dilation=dilation), WHERE, "n")
    assert isinstance(found, Conv2d)
    assert (found.padding, found.groups, found.name) == (expected, 2, "n")
    assert found.bias is not None
    np.testing.assert_array_equal(found.bias, BIAS)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kernel": (3, 4)}, r"padding 'same' with kernel \(3, 4\) and stride \(1, 1\) pads one side more"),
        ({"stride": (1, 2)}, r"padding 'same' with kernel \(3, 5\) and stride \(1, 2\) is for strides of 1"),
        ({"stride": (2, 1)}, r"padding .same. with kernel \(3, 5\) and stride \(2, 1\) is for strides of 1"),
    ],
)
def test_padding_that_numbers_on_both_sides_do_not_give_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(DeployError, match=f"Conv2d cannot be read: {why}") as caught:
        operation(conv2d(padding="same", **options), WHERE)
    assert caught.value.where == WHERE
    assert "first add zeros before its weights" in caught.value.fix


def test_a_convolution_has_a_stride_and_a_dilation_for_each_axis() -> None:
    found = operation(conv2d(stride=np.array([2, 3]), dilation=(4, 5)), WHERE)
    assert isinstance(found, Conv2d)
    assert (found.stride, found.dilation) == ((2, 3), (4, 5))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stride": np.array([2]), "padding": np.array([3]), "dilation": np.array([4])}, (2, 3, 4)),
        ({"padding": "same", "dilation": 2}, (1, 2, 2)),
        ({"padding": b"valid", "stride": 3}, (3, 0, 1)),
    ],
)
def test_a_convolution_of_one_axis_takes_numbers_with_and_without_an_axis(
    options: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    found = operation(conv1d(**options), WHERE, "n")
    assert isinstance(found, Conv1d)
    assert (found.stride, found.padding, found.dilation) == expected
    assert (found.groups, found.name) == (2, "n")
    assert found.bias is not None


def test_pools_sum_average_or_take_the_largest() -> None:
    values = {"kernel_size": (2, 3), "stride": 4, "padding": (0, 1)}
    assert operation(NirNode("SumPool2d", values), WHERE) == Pool2d((2, 3), (4, 4), (0, 1), mean=False)
    assert operation(NirNode("AvgPool2d", values), WHERE) == Pool2d((2, 3), (4, 4), (0, 1), mean=True)
    largest = NirNode("SumPool2d", values, metadata={"pool": "max"})
    assert operation(largest, WHERE) == MaxPool2d((2, 3), (4, 4), (0, 1))


def test_matrices_scales_and_flattening_are_read() -> None:
    weight = np.ones((4, 3), np.float32)
    affine = operation(NirNode("Affine", {"weight": weight, "bias": BIAS}), WHERE, "n")
    assert isinstance(affine, Linear)
    assert (affine.bias is not None, affine.name) == (True, "n")
    assert operation(NirNode("Flatten", {"start_dim": 1, "end_dim": -1}), WHERE) == Flatten(1, -1)
    scale = operation(NirNode("Scale", {"scale": np.array([2.0, 3.0])}), WHERE)
    assert isinstance(scale, Scale)
    assert scale.scale.tolist() == [2, 3]
    shaped = operation(NirNode("Linear", {"weight": weight}, metadata={"shape": [2, 2]}), WHERE, "n")
    assert isinstance(shaped, Sparse)
    assert (shaped.output_shape((3,)), shaped.name) == ((2, 2), "n")


@pytest.mark.parametrize("shape", [[], [0, 4], [-1, -4], [2.0, 2], [True, 4], "22", 4])
def test_metadata_that_says_no_shape_is_refused(shape: Any) -> None:
    node = NirNode("Linear", {"weight": np.ones((4, 3))}, metadata={"shape": shape})
    with pytest.raises(DeployError, match=r"Linear cannot be read: its metadata says that its output has"):
        operation(node, WHERE)


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(DeployError, match="a Delay cannot stand before a neuron") as caught:
        operation(NirNode("Delay", {}), WHERE)
    assert caught.value.where == WHERE


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 2, 2), (1, "same", 1, 1)])
def test_a_conv1d_slides_over_the_last_axis(
    rng: np.random.Generator, stride: int, padding: Any, dilation: int, groups: int
) -> None:
    weight, bias = rng.normal(0, 1, (4, 2 // groups, 3)), rng.normal(0, 1, 4)
    nodes = {**ports((2, 9), (4, 1)), "conv": nir.Conv1d(9, weight, stride, padding, dilation, groups, bias)}
    nodes |= {"beside": nir.I(r=np.ones((2, 9))), "other": nir.Output({"output": np.array([2, 9])})}
    x = currents(rng, 2, 9)
    edges = [*chain_edges("input", "conv", "output"), *chain_edges("input", "beside", "other")]
    got = played(network_of(nodes, edges), input=x).nodes["conv"]["value"]
    pad = 1 if padding == "same" else padding
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (pad, pad)))
    for o in range(4):
        channels = range(2) if groups == 1 else [o // 2]
        for k, start in enumerate(range(0, padded.shape[-1] - dilation * 2, stride)):
            expected = bias[o] + sum(
                weight[o, j, i] * padded[:, :, c, start + dilation * i]
                for j, c in enumerate(channels)
                for i in range(3)
            )
            np.testing.assert_allclose(got[:, :, o, k], expected, rtol=1e-4, atol=1e-5)


def prod_is(shape: Any) -> bool:
    return shape in ([2, 2, 1], [4, 1, 1])


@pytest.mark.parametrize("shape", [[2, 2, 1], [4, 1, 1], [5], [], "4", [2.0, 2.0], [float("inf")], [-2, -2]])
def test_a_matrix_gives_the_shape_that_its_metadata_says(shape: Any) -> None:
    fc = nir.Linear(np.eye(4), metadata={"neurodeploy": json.dumps({"shape": shape})})
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fc": fc,
        "lif": lif(tuple(shape) if prod_is(shape) else (4,)),
    }
    nodes["output"] = nir.Output({"output": np.array([4])})
    text = json.dumps({"dialect": "snntorch", "dt": DT, "rules": ZERO})
    graph = nir.NIRGraph(nodes, chain_edges(*nodes), metadata={"neurodeploy": text}, type_check=False)
    if prod_is(shape):
        assert read_network(graph)[0].population("lif").shape == tuple(shape)
    else:
        with pytest.raises(DeployError, match=r"Linear cannot be read|metadata key 'neurodeploy' is not of the form"):
            read_network(graph)

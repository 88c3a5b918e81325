"""Convolutions and pools in a row are one convolution, with padding between them where that does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.run import run
from neurodeploy.compiler import compile
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Pool2d, Scale, SynapseOp, chain_shape
from neurodeploy.passes.fold import applied, apply, fold
from tests.families.loihi.test_exactness import ZERO

RNG = np.random.default_rng(0)


def conv(n_out: int, n_in: int, kernel: int = 3, groups: int = 1, **geometry: Any) -> Conv2d:
    weight = RNG.normal(0, 1, (n_out, n_in // groups, kernel, kernel)).astype(np.float32)
    pairs = {key: (value, value) for key, value in geometry.items()}
    return Conv2d(weight, None, groups=groups, **pairs)  # type: ignore[arg-type]


def chain(ops: tuple[SynapseOp, ...], x: np.ndarray) -> np.ndarray:
    for op in ops:
        x = apply(op, x)
    return x.reshape(len(x), -1)


HALF = Pool2d((2, 2), (2, 2), mean=True)

SHARED: dict[str, tuple[tuple[SynapseOp, ...], tuple[int, ...]]] = {
    "a pool before a padded convolution": ((HALF, conv(5, 4, padding=1)), (4, 8, 8)),
    "a sum before a padded, strided one": ((Pool2d((2, 2), (2, 2)), conv(5, 4, padding=1, stride=2)), (4, 8, 8)),
    "a pool behind": ((conv(5, 4, padding=1), HALF), (4, 8, 8)),
    "two convolutions and two pools": ((conv(4, 2, padding=1), HALF, conv(3, 4), HALF), (2, 12, 12)),
    "groups behind a pool": ((HALF, conv(6, 4, groups=2, padding=1)), (4, 8, 8)),
    "groups before a pool": ((conv(6, 4, groups=2), Pool2d((2, 2), (2, 2))), (4, 8, 8)),
    "groups in groups": ((conv(6, 4, groups=2), conv(4, 6, groups=2)), (4, 9, 9)),
    "dilations": ((HALF, conv(3, 4, dilation=2, padding=2)), (4, 12, 12)),
    "a dilation before": ((conv(3, 4, dilation=2), conv(2, 3, dilation=2)), (4, 12, 12)),
    "a padded pool, then no padding": ((Pool2d((3, 3), (2, 2), (1, 1)), conv(3, 4)), (4, 9, 9)),
    "a pool alone": ((HALF,), (4, 8, 8)),
    "a pool that leaves a rest, then no padding": ((HALF, conv(3, 4)), (4, 9, 9)),
    "a factor by channel": ((Scale(np.arange(1, 5).reshape(4, 1, 1)), conv(3, 4, padding=1)), (4, 6, 6)),
    "then flat": ((HALF, conv(5, 4, padding=1), Flatten()), (4, 8, 8)),
    "one row": ((Conv1d(RNG.normal(0, 1, (5, 4, 3)), stride=2, padding=1),), (4, 11)),
    "one row in groups": ((Conv1d(RNG.normal(0, 1, (6, 2, 3)), padding=2, dilation=2, groups=2),), (4, 11)),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_chain_stays_one_convolution(name: str) -> None:
    ops, shape = SHARED[name]
    folded = fold(Projection("a", "b", ops), shape)
    assert folded.conv is not None
    x = RNG.normal(0, 1, (3, *shape))
    np.testing.assert_allclose(applied(folded, x, shape), chain(ops, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("ops", "shape"),
    [
        ((HALF, conv(3, 4, padding=1)), (4, 9, 9)),
        ((Pool2d((3, 3), (2, 2)), conv(3, 4, padding=1)), (4, 9, 9)),
        ((conv(4, 4, padding=1), conv(3, 4, padding=1)), (4, 6, 6)),
        ((Scale(RNG.random((4, 6, 6))), conv(3, 4, padding=1)), (4, 6, 6)),
    ],
)
def test_padding_that_shows_is_written_out(ops: tuple[SynapseOp, ...], shape: tuple[int, ...]) -> None:
    folded = fold(Projection("a", "b", ops), shape)
    assert folded.conv is None
    x = RNG.normal(0, 1, (3, *shape))
    np.testing.assert_allclose(applied(folded, x, shape), chain(ops, x), rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_composed_is_what_was_in_a_row(data: st.DataObject) -> None:
    one = st.integers(1, 3)
    shape = (4, data.draw(st.integers(6, 10)), data.draw(st.integers(6, 10)))
    first = Pool2d(
        (data.draw(one), data.draw(one)), (data.draw(one), data.draw(one)), (data.draw(st.integers(0, 1)),) * 2
    )
    kernel = (data.draw(one), data.draw(one))
    groups = data.draw(st.sampled_from([1, 2, 4]))
    second = Conv2d(
        RNG.normal(0, 1, (4, 4 // groups, *kernel)), None, (data.draw(one), data.draw(one)),
        (data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))), (data.draw(one), 1), groups,
    )  # fmt: skip
    x = RNG.normal(0, 1, (2, *shape))
    for ops in ((first, second), (second,)):
        try:
            chain_shape(ops, shape)
        except ValueError:  # a window that is larger than what it slides over
            continue
        folded = fold(Projection("a", "b", ops), shape)
        np.testing.assert_allclose(applied(folded, x, shape), chain(ops, x), rtol=1e-4, atol=1e-4)


def test_a_convolution_of_one_row_runs_as_one() -> None:
    ops = (Conv1d(RNG.normal(0, 1, (6, 2, 3)).astype(np.float32), padding=1, groups=2),)
    second = (Conv1d(RNG.normal(0, 1, (3, 6, 3)).astype(np.float32), stride=2),)
    populations = (
        Population("a", (6, 11), ZERO, np.float32(0.9), np.float32(2.0)),
        Population("b", (3, 5), ZERO, np.float32(0.9), np.float32(1.0)),
    )
    projections = (Projection("in", "a", ops), Projection("a", "b", second))
    network = Network({"in": (4, 11)}, populations, projections, ("b",), 1e-3, "snntorch")
    program = compile(network, "loihi2")
    assert [p.kind for p in program.projections] == ["conv", "conv"]
    x = {"in": (RNG.random((12, 3, 4, 11)) < 0.4).astype(np.uint8)}
    traces = definition.run(program, x, LOIHI)
    recording = Emulator().run(program, x, RunOptions(record=("spikes", "v"), raw_time=True))
    reference = run(network, x)
    for node in ("a", "b"):
        np.testing.assert_array_equal(recording.nodes[node]["v"].reshape(traces.v[node].shape), traces.v[node])
        assert recording.spikes(node).any()
        shared = run(program, x, backend="emulator").spikes(node) == reference.spikes(node)
        assert shared.mean() > 0.97
    np.testing.assert_array_equal(recording.counters["synops"].sum(axis=0), traces.counters["synops"].sum(axis=0))

"""Samples that a comparison in blocks keeps to show: some that differ, some that do not, and those it points at."""

from __future__ import annotations

import numpy as np

from neurodeploy.comparison.shown import KEPT, Shown, differing
from neurodeploy.comparison.tallies import Block
from neurodeploy.ir.recording import Recording


def block(n_samples: int, differ: tuple[int, ...] = (), n_other: int | None = None) -> Block:
    """Return two backends on samples numbered by v, of which the second differs in node b on some."""
    numbers = np.broadcast_to(np.arange(n_samples).reshape(1, -1, 1), (2, n_samples, 1))
    a, b = np.ones((2, n_samples, 1), np.uint8), np.zeros((2, n_samples, 1), np.uint8)
    changed = b.copy()
    changed[1, list(differ)] = 1
    reference = Recording({"a": {"spikes": a, "v": numbers}, "b": {"spikes": b}}, {}, {"n": numbers})
    other = Recording({"a": {"spikes": a, "v": numbers}, "b": {"spikes": changed}}, {}, {"n": numbers})
    return {"reference": reference, "emulator": other.first(n_samples if n_other is None else n_other)}


def test_samples_differ_where_any_node_does_on_what_both_ran() -> None:
    assert differing(block(4, (1, 3)), ("a", "b"), 4).tolist() == [False, True, False, True]
    assert differing(block(4, (1, 3)), ("a",), 4).tolist() == [False] * 4
    assert differing(block(4, (1, 3), n_other=2), ("a", "b"), 4).tolist() == [False, True, False, False]
    assert not differing(block(4, (1, 3), n_other=0), ("a", "b"), 4).any()


def test_a_comparison_in_one_block_keeps_all() -> None:
    shown = Shown(("a", "b"), 3)
    whole = block(3, (2,))
    shown.add(whole, 0, set())
    assert shown.recordings() is whole
    assert shown.samples == (0, 1, 2)
    assert shown.differs.tolist() == [False, False, True]


def test_of_several_blocks_the_first_of_each_kind_are_kept_and_those_that_are_named() -> None:
    n = KEPT + 4
    shown = Shown(("a", "b"), 2 * n)
    shown.add(block(n, (n - 1,)), 0, set())
    assert shown.samples == (*range(KEPT), n - 1)
    shown.add(block(n, (0, 2)), n, {2, n + 5})
    assert shown.samples == (*range(KEPT), n - 1, n, n + 2, n + 5)
    kept = shown.recordings()
    assert set(kept) == {"reference", "emulator"}
    for recording in kept.values():
        numbers = [*range(KEPT), n - 1, 0, 2, 5]
        assert recording.nodes["a"]["v"][0, :, 0].tolist() == numbers
        assert recording.counters["n"][0, :, 0].tolist() == numbers
    assert np.flatnonzero(kept["emulator"].spikes("b").any(axis=(0, 2))).tolist() == [KEPT, KEPT + 1, KEPT + 2]

"""A program laid out for the kernel: flat integer tables instead of objects.

Neurons with three axes are kept as (H, W, C), so that what one spike reaches through a convolution lies side by side
in memory; ``order`` brings results back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import ALIGN_BITS, DECAY_BITS, Arithmetic
from neurodeploy.codes import CodedProjection
from neurodeploy.program import Program
from neurodeploy.synapses import Shape

# Columns of the projection table.
SOURCE, TARGET, WEIGHT_AT, EXPONENT, DELAY, IS_CONV, N_OUT, EIGHT_AT_ONCE = range(8)
GEOMETRY = 8
"""First of the columns that hold a convolution's geometry, see ``_geometry``."""


class Tables(NamedTuple):
    """What the kernel reads; nodes are numbered inputs first, then populations.

    offset: int64 (nodes + 1,), first neuron of each node. projections: int64 (projections, columns), grouped by target.
    into: int64 (populations + 1,), first projection into each population.
    weight: int16, all weights one after the other, source-major.
    codes: int32 (2, neurons): threshold and bias in register units. keep: float64 (2, neurons): the parts of u and of v
    that stay in a step, in 4096ths. start: int32 (2, neurons): u and v before the first step. Inputs have zeros.
    max_delay: hardware steps.
    """

    n_inputs: int
    offset: NDArray[np.int64]
    projections: NDArray[np.int64]
    into: NDArray[np.int64]
    weight: NDArray[np.int16]
    codes: NDArray[np.int32]
    keep: NDArray[np.float64]
    start: NDArray[np.int32]
    max_delay: int


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Tables, and how a node's neurons lie in them.

    order: for each node, int64 (n,): place in the tables of each neuron in C order over the node's shape.
    """

    tables: Tables
    order: dict[str, NDArray[np.int64]]


@lru_cache(maxsize=2)
def lay_out(program: Program, arithmetic: Arithmetic) -> Layout:
    """Return the tables of a program; those of the last two are kept, since programs do not change."""
    shapes = program.shapes
    names = list(shapes)
    offset = np.concatenate([[0], np.cumsum([prod(shape) for shape in shapes.values()])]).astype(np.int64)
    order = {name: _order(shape) for name, shape in shapes.items()}
    ranked = sorted(program.projections, key=lambda p: names.index(p.target))
    weights = [_source_major(p, order, arithmetic) for p in ranked]
    weight_at = np.concatenate([[0], np.cumsum([w.size for w in weights])])
    rows = [_row(p, names, shapes, int(at), arithmetic) for p, at in zip(ranked, weight_at[:-1], strict=True)]
    targets = [names.index(p.target) for p in ranked]
    tables = Tables(
        len(program.inputs),
        offset,
        np.array(rows, np.int64).reshape(len(ranked), -1),
        np.searchsorted(targets, np.arange(len(program.inputs), len(names) + 1)).astype(np.int64),
        np.concatenate(weights) if weights else np.zeros(0, np.int16),
        *_neurons(program, offset, order),
        max((p.delay for p in ranked), default=1),
    )
    return Layout(tables, order)


def _neurons(
    program: Program, offset: NDArray[np.int64], order: dict[str, NDArray[np.int64]]
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """Return codes, keep and start of all neurons; see :class:`Tables`."""
    n, full = int(offset[-1]), 2**DECAY_BITS
    codes, keep, start = np.zeros((2, n), np.int32), np.zeros((2, n)), np.zeros((2, n), np.int32)
    for index, population in enumerate(program.populations, start=len(program.inputs)):
        place = offset[index] + order[population.name]
        codes[0, place] = population.threshold_code << ALIGN_BITS
        codes[1, place] = population.bias_mantissa << population.bias_exponent
        keep[0, place] = (full - 1 - population.du) / full
        keep[1, place] = (full - population.dv) / full
        start[0, place], start[1, place] = population.u_init, population.v_init
    return codes, keep, start


def _order(shape: Shape) -> NDArray[np.int64]:
    """Return, for each neuron in C order over ``shape``, its place in the tables."""
    n = prod(shape)
    if len(shape) != 3:
        return np.arange(n)
    channels_last = np.arange(n).reshape(shape[1], shape[2], shape[0])
    return channels_last.transpose(2, 0, 1).ravel()


def _source_major(p: CodedProjection, order: dict[str, NDArray[np.int64]], arithmetic: Arithmetic) -> NDArray[np.int16]:
    """Return weights so that those which one spike delivers lie side by side."""
    weight = p.weight
    if p.exponent < 0 and not arithmetic.shifts_sum:
        weight = weight >> -p.exponent
    if p.is_conv:
        return _conv_source_major(p, weight)
    # Places to neurons, so that rows and columns are gathered in the tables' order.
    sources, targets = np.argsort(order[p.source]), np.argsort(order[p.target])
    return np.ascontiguousarray(weight.T[sources][:, targets], np.int16).ravel()


def _conv_source_major(p: CodedProjection, weight: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return a convolution's weights as (c_in, h, w, c_out / groups)."""
    assert p.groups is not None
    n_out, per_group, height, width = weight.shape
    grouped = weight.reshape(p.groups, n_out // p.groups, per_group, height, width)
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)).ravel()


def _row(
    p: CodedProjection, names: list[str], shapes: dict[str, Shape], start: int, arithmetic: Arithmetic
) -> list[int]:
    exponent = p.exponent if p.exponent > 0 or arithmetic.shifts_sum else 0
    largest = max(int(p.weight.max(initial=0)), -int(p.weight.min(initial=0)))
    eight_at_once = int(8 * largest < 2**15)
    head = [names.index(p.source), names.index(p.target), start, exponent, p.delay, int(p.is_conv)]
    return [*head, prod(shapes[p.target]), eight_at_once, *_geometry(p, shapes)]


def _geometry(p: CodedProjection, shapes: dict[str, Shape]) -> list[int]:
    """Return a convolution's columns, zeros for dense synapses.

    They are c_in, w_in, h_out, w_out, c_out / groups, c_in / groups, c_out, kernel, stride, padding and dilation.
    """
    if not p.is_conv:
        return [0] * 15
    assert p.stride and p.padding is not None and p.dilation and p.groups
    n_out, per_group, height, width = p.weight.shape
    shape_in = shapes[p.source]
    _, h_out, w_out = p.output_shape(shape_in)
    extents: list[Any] = [shape_in[0], shape_in[2], h_out, w_out, n_out // p.groups, per_group, n_out]
    return [*extents, height, width, *p.stride, *p.padding, *p.dilation]

"""A program laid out for the kernel: flat integer tables instead of objects.

Neurons with three axes are kept as (H, W, C), so that what one spike reaches through a convolution lies side by side
in memory; ``order`` brings results back.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import Arithmetic
from neurodeploy.program import CodedProjection, Program
from neurodeploy.synapses import Shape

# Columns of the projection table.
SOURCE, TARGET, WEIGHT_AT, EXPONENT, DELAY, IS_CONV, N_OUT = range(7)
GEOMETRY = 7
"""First of the columns that hold a convolution's geometry, see ``_geometry``."""


class Tables(NamedTuple):
    """What the kernel reads; nodes are numbered inputs first, then populations.

    offset: int64 (nodes + 1,), first neuron of each node. projections: int64 (projections, columns), grouped by target.
    into: int64 (populations + 1,), first projection into each population.
    weight: int16, all weights one after the other, source-major. codes: int32 (6, neurons): du + 1, dv, threshold <<
        6, bias, u_init, v_init; inputs have zeros.
    """

    n_inputs: int
    offset: NDArray[np.int64]
    projections: NDArray[np.int64]
    into: NDArray[np.int64]
    weight: NDArray[np.int16]
    codes: NDArray[np.int32]
    max_delay: int


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Tables, and how a node's neurons lie in them.

    order: for each node, int64 (n,): place in the tables of each neuron in C order over the node's shape.
    """

    tables: Tables
    order: dict[str, NDArray[np.int64]]


def lay_out(program: Program, arithmetic: Arithmetic) -> Layout:
    """Return the tables of a program."""
    from neurodeploy.arithmetic import ALIGN_BITS

    shapes = program.shapes
    names = list(shapes)
    sizes = [prod(shape) for shape in shapes.values()]
    offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    order = {name: _order(shape) for name, shape in shapes.items()}
    codes = np.zeros((6, offset[-1]), np.int32)
    for index, population in enumerate(program.populations, start=len(program.inputs)):
        place = offset[index] + order[population.name]
        bias = population.bias_mantissa << population.bias_exponent
        rows = (
            population.du + 1,
            population.dv,
            population.threshold_code << ALIGN_BITS,
            bias,
            population.u_init,
            population.v_init,
        )
        for row, values in enumerate(rows):
            codes[row, place] = values
    ranked = sorted(program.projections, key=lambda p: names.index(p.target))
    weights = [_source_major(p, shapes, order, arithmetic) for p in ranked]
    starts = np.concatenate([[0], np.cumsum([w.size for w in weights])]).astype(np.int64)
    rows_ = [_row(p, names, shapes, int(start), arithmetic) for p, start in zip(ranked, starts[:-1], strict=True)]
    targets = np.array([names.index(p.target) for p in ranked], np.int64)
    into = np.searchsorted(targets, np.arange(len(program.inputs), len(names) + 1)).astype(np.int64)
    tables = Tables(
        len(program.inputs),
        offset,
        np.array(rows_, np.int64).reshape(len(ranked), -1),
        into,
        np.concatenate(weights) if weights else np.zeros(0, np.int16),
        codes,
        max((p.delay for p in ranked), default=1),
    )
    return Layout(tables, order)


def _order(shape: Shape) -> NDArray[np.int64]:
    """Return, for each neuron in C order over ``shape``, its place in the tables."""
    n = prod(shape)
    if len(shape) != 3:
        return np.arange(n)
    channels_last = np.arange(n).reshape(shape[1], shape[2], shape[0])
    return channels_last.transpose(2, 0, 1).ravel()


def _source_major(
    p: CodedProjection, shapes: dict[str, Shape], order: dict[str, NDArray[np.int64]], arithmetic: Arithmetic
) -> NDArray[np.int16]:
    """Return weights so that those which one spike delivers lie side by side."""
    weight = p.weight
    if p.exponent < 0 and not arithmetic.shifts_sum:
        weight = weight >> -p.exponent
    if p.is_conv:
        return _conv_source_major(p, weight)
    laid = np.empty((weight.shape[1], weight.shape[0]), np.int16)
    laid[np.ix_(order[p.source], order[p.target])] = weight.T
    return laid.ravel()


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
    head = [
        names.index(p.source),
        names.index(p.target),
        start,
        exponent,
        p.delay,
        int(p.is_conv),
        prod(shapes[p.target]),
    ]
    return head + _geometry(p, shapes)


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

"""A program laid out for the kernel: flat integer tables instead of objects.

Neurons with three axes, or channels of one row, are kept as (H, W, C), so that what one spike reaches through a
convolution lies side by side in memory; ``order`` brings results back. A convolution into a population of another shape
sums in its own order, and ``places`` says where each sum belongs. Every node is padded to whole vectors with neurons
that never fire, so that no loop has a remainder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT, Arithmetic
from neurodeploy.families.loihi.codes import CLEARED, RESETS, LoihiPopulation
from neurodeploy.families.loihi.emulator.fan_out import fan_outs
from neurodeploy.families.loihi.emulator.limits import faults
from neurodeploy.families.loihi.program import LoihiProgram, input_limit
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.order import components
from neurodeploy.ir.program import refuse_faults
from neurodeploy.ir.synapses import Shape, as_map

LANES = 64
"""Neurons to which each node is padded: whole vectors, and whole words of flags when spikes are listed."""

# Columns of the projection table.
SOURCE, TARGET, KIND, WEIGHT_AT, SHIFT, LEVEL, EXPONENT, DELAY, GRADED, N_OUT, PLACES_AT, FAN_OUT_AT = range(12)
GEOMETRY = 12
"""First of the columns that hold a convolution's geometry, see ``_geometry``; if sparse, where indptr and indices
start."""
N_COLUMNS = GEOMETRY + 15

DENSE8, DENSE16, CONV, SPARSE = range(4)
"""Kinds: dense in 8 bits or 16, convolution, sparse."""

# Columns of the model table.
(
    IS_CUSTOM, RESET, MAX_SPIKES, REFRACTORY, INTERVAL, OFFSET, FIRES, TERNARY, FLOOR, ADAPTIVE, SENDS_GRADED, KEEPS_U,
    MEETS, LOWERS, SECOND, CLEARS, INPUT_LIMIT,
) = range(17)  # fmt: skip
N_PROPERTIES = 17

ZERO, SUBTRACT, SUBTRACT_LATE, ZERO_LATE, NONE, SUBTRACT_PENDING = range(len(RESETS))
"""Resets in the order of ``codes.RESETS``."""

SPIKES, SYNOPS, ACTIVE, U_WRAPS, V_CLIPS, ARRIVALS, SYNOPS_DENSE, INPUT_WRAPS = range(8)
"""Counters in the order of ``definition.COUNTERS``."""

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What tables and kernels hold of all that programs need, see :mod:`neurodeploy.ir.needs`; the host has run before."""

Ints = NDArray[np.int64]


class Tables(NamedTuple):
    """What the kernel reads; nodes are numbered inputs first, then populations. All arrays are read-only.

    offset: int64 (nodes + 1,), first neuron of each node, a multiple of ``LANES``. size: int64 (nodes,), not padded.
    projections: int64 (projections, columns), grouped by target.
    into: int64 (populations + 1,), first projection into each population.
    weight8, weight16: int8 and int16, all weights of a kind one after the other, source-major.
    indptr, indices: int64 and int32, of all sparse projections, one after the other; each counts from its own start.
    places: int32, of all convolutions that sum in another order than their target's, one after the other: where in the
        target each sum belongs.
    fan_out: int32, of all projections that store weights of 0, one after the other: how many others each source has.
    threshold, bias, u_init, v_init: int32 (neurons,), in register units; an input's are of no account. The threshold of
        plain neurons that fire also where they meet it is one less: in whole numbers ``v >= c`` is ``v > c - 1``.
    keep_u, keep_v: int16 (neurons,), the parts of u and of v that stay in a step, in 4096ths.
    models: int64 (populations, columns). extra: int32 (5, neurons), or of no neurons where all are plain: low
    threshold, floor of v, part of the raised threshold that stays in 4096ths, by how much a spike raises it, and the
    part of the second current that stays.
    max_delay: hardware steps. groups: int64, first in ``members`` of each group of populations that feed each other in
    a loop, and the end; members: int64, populations in an order in which each group comes after those that feed it.
    loops: uint8 (groups,), 1 where a member feeds itself or another, so that all of them have to step together.
    """

    n_inputs: int
    offset: Ints
    size: Ints
    projections: Ints
    into: Ints
    weight8: NDArray[np.int8]
    weight16: NDArray[np.int16]
    indptr: Ints
    indices: NDArray[np.int32]
    places: NDArray[np.int32]
    fan_out: NDArray[np.int32]
    threshold: NDArray[np.int32]
    bias: NDArray[np.int32]
    keep_u: NDArray[np.int16]
    keep_v: NDArray[np.int16]
    u_init: NDArray[np.int32]
    v_init: NDArray[np.int32]
    models: Ints
    extra: NDArray[np.int32]
    max_delay: int
    groups: Ints
    members: Ints
    loops: NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Tables, and how a node's neurons lie in them.

    order: for each node, int64 (n,): place within the node of each neuron in C order over its shape, or None where that
        is the same.
    """

    tables: Tables
    order: dict[str, Ints | None]

    def place(self, node: int, name: str, size: int) -> Any:
        """Return where in the tables a node's neurons are, in C order over its shape; an index for arrays.

        Args:
            node: its number in the tables.
            name: its name.
            size: its neurons, without those that pad it.
        """
        return _place(int(self.tables.offset[node]), size, self.order[name])


@lru_cache(maxsize=2)
def lay_out(program: LoihiProgram, arithmetic: Arithmetic) -> Layout:
    """Return the tables of a program; those of the last two are kept, since programs do not change.

    Raises:
        LackingError: the program has neurons or synapses of other kinds than the kernels compute.
        DeployError: the tables cannot hold the program's numbers; it names all that are wrong.
    """
    refuse_missing(program.parts, CAN, "the emulator")
    refuse_faults(faults(program), program, "the emulator", "Bring these numbers into range, or compile it again.")
    shapes = program.shapes
    names = list(shapes)
    size = np.array([prod(shape) for shape in shapes.values()], np.int64)
    offset = np.concatenate([[0], np.cumsum(-(-size // LANES) * LANES)]).astype(np.int64)
    order = {name: _order(shape) for name, shape in shapes.items()}
    ranked = sorted(program.projections, key=lambda p: names.index(p.target))
    synapses = _Synapses(names, shapes, order, np.diff(offset), arithmetic)
    rows = [synapses.add(projection) for projection in ranked]
    targets = [names.index(p.target) for p in ranked]
    models = np.array([_model(p, input_limit(program)) for p in program.populations], np.int64).reshape(
        -1, N_PROPERTIES
    )
    tables = Tables(
        n_inputs=len(program.inputs),
        offset=_joined([offset], np.int64),
        size=_joined([size], np.int64),
        projections=_joined([np.array(rows, np.int64).reshape(-1, N_COLUMNS)], np.int64),
        into=_joined([np.searchsorted(targets, np.arange(len(program.inputs), len(names) + 1))], np.int64),
        weight8=_joined(synapses.weight8, np.int8),
        weight16=_joined(synapses.weight16, np.int16),
        indptr=_joined(synapses.indptr, np.int64),
        indices=_joined(synapses.indices, np.int32),
        places=_joined(synapses.places, np.int32),
        fan_out=_joined(synapses.fan_out, np.int32),
        models=_joined([models], np.int64),
        extra=_extra(program, offset, order),
        max_delay=max((p.delay for p in ranked), default=1),
        **_groups(program, names),
        **_neurons(program, offset, order),
    )
    return Layout(tables, order)


def _groups(program: LoihiProgram, names: list[str]) -> dict[str, Any]:
    """Return what the tables hold of the order in which populations can run."""
    groups = components(program) if program.populations else ()
    fed_by_itself = {p.source for p in program.projections if p.source == p.target}
    loops = [len(group) > 1 or group[0] in fed_by_itself for group in groups]
    return {
        "groups": _joined([np.cumsum([0, *map(len, groups)])], np.int64),
        "members": _joined([np.array([names.index(name) for group in groups for name in group])], np.int64),
        "loops": _joined([np.array(loops)], np.uint8),
    }


def _joined(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """Return arrays one after the other, read-only; a single one of the right dtype is not copied."""
    joined = np.asarray(arrays[0] if len(arrays) == 1 else np.concatenate([np.zeros(0, dtype), *arrays]), dtype)
    view = np.ascontiguousarray(joined).view()
    view.flags.writeable = False
    return view


def _order(shape: Shape) -> Ints | None:
    shape = as_map(shape)
    if len(shape) != 3:
        return None
    channels_last = np.arange(prod(shape)).reshape(shape[1], shape[2], shape[0])
    return channels_last.transpose(2, 0, 1).ravel()


def _neurons(program: LoihiProgram, offset: Ints, order: dict[str, Ints | None]) -> dict[str, Any]:
    """Return what the tables hold of each neuron. Those of padding, with a threshold beyond reach, never fire."""
    n, full = int(offset[-1]), 2**DECAY_BITS
    found = {key: np.zeros(n, np.int32) for key in ("threshold", "bias", "u_init", "v_init")}
    found |= {key: np.zeros(n, np.int16) for key in ("keep_u", "keep_v")}
    found["threshold"][:] = STATE_LIMIT
    for index, p in enumerate(program.populations, start=len(program.inputs)):
        place = _place(int(offset[index]), p.size, order[p.name])
        found["threshold"][place] = (p.threshold_code << ALIGN_BITS) - (p.model.spike == ">=" and not _is_custom(p))
        found["bias"][place] = p.bias_mantissa << p.bias_exponent
        found["keep_u"][place] = full - 1 - p.du
        found["keep_v"][place] = full - p.dv
        found["u_init"][place], found["v_init"][place] = p.u_init, p.v_init
    return {key: _joined([values], values.dtype) for key, values in found.items()}


def _extra(program: LoihiProgram, offset: Ints, order: dict[str, Ints | None]) -> NDArray[np.int32]:
    """Return the codes that plain neurons do not have."""
    if not any(_is_custom(population) for population in program.populations):
        return _joined([np.zeros((5, 0), np.int32)], np.int32)
    extra = np.zeros((5, int(offset[-1])), np.int32)
    for index, p in enumerate(program.populations, start=len(program.inputs)):
        place = _place(int(offset[index]), p.size, order[p.name])
        if p.threshold_low_code is not None:
            extra[0, place] = p.threshold_low_code << ALIGN_BITS
        if p.v_min is not None:
            extra[1, place] = p.v_min
        if p.adapt_decay is not None and p.adapt_step is not None:
            extra[2, place], extra[3, place] = 2**DECAY_BITS - p.adapt_decay, p.adapt_step
        if p.du_second is not None:
            extra[4, place] = 2**DECAY_BITS - 1 - p.du_second
    return _joined([extra], np.int32)


def _place(first: int, size: int, order: Ints | None) -> Any:
    return slice(first, first + size) if order is None else first + order


def _is_custom(population: LoihiPopulation) -> bool:
    """Tell whether the kernel for all neurons is needed; it is slower than the one for Loihi's own."""
    return not population.needs() <= {"integrator", "meets", "interval"}


def _model(population: LoihiPopulation, limit: int | None) -> list[int]:
    model = population.model
    return [
        _is_custom(population), RESETS.index(model.reset), model.max_spikes or STATE_LIMIT, model.refractory,
        model.reset_interval, model.reset_offset, model.fires, population.threshold_low_code is not None,
        population.v_min is not None, population.adapt_step is not None, population.is_graded,
        bool((population.du < 2**DECAY_BITS - 1).any()), model.spike == ">=",
        model.adapts == "v", population.du_second is not None, CLEARED.index(model.clears_u),
        (limit or 0) >> ALIGN_BITS,
    ]  # fmt: skip


class _Synapses:
    """Collects the projections' weights, and makes a row of the table for each."""

    def __init__(
        self,
        names: list[str],
        shapes: dict[str, Shape],
        order: dict[str, Ints | None],
        padded: Ints,
        arithmetic: Arithmetic,
    ) -> None:
        self.names, self.shapes, self.order, self.padded, self.arithmetic = names, shapes, order, padded, arithmetic
        self.weight8: list[NDArray[Any]] = []
        self.weight16: list[NDArray[Any]] = []
        self.indptr: list[NDArray[Any]] = []
        self.indices: list[NDArray[Any]] = []
        self.places: list[NDArray[Any]] = []
        self.fan_out: list[NDArray[Any]] = []

    def add(self, p: CodedProjection) -> list[int]:
        """Return a projection's row."""
        weight, exponent = p.weight, p.exponent
        if exponent < 0 and not self.arithmetic.shifts_sum:
            weight, exponent = weight >> -exponent, 0
        source, target = self.names.index(p.source), self.names.index(p.target)
        last, shift, level, places_at = [0] * (N_COLUMNS - GEOMETRY), 0, 0, -1
        if p.is_conv:
            kind, flat, last = CONV, _conv_source_major(p, weight), self._geometry(p)
            places_at = self._add_places(p)
        elif p.is_sparse:
            kind, last[:2] = SPARSE, (sum(map(len, self.indptr)), sum(map(len, self.indices)))
            flat, indptr, indices = self._sparse(p, weight)
            self.indptr.append(indptr)
            self.indices.append(indices)
        else:
            kind, shift, level = _bytes(weight)
            less = (weight.astype(np.int32) >> shift) - level
            flat = self._dense(p, less, -level, np.int8 if kind == DENSE8 else np.int16)
        if exponent > 0:
            shift, exponent = shift + exponent, 0
        store = self.weight8 if kind == DENSE8 else self.weight16
        at = sum(map(len, store))
        store.append(flat)
        head = [source, target, kind, at, shift, level, exponent, p.delay, int(p.message_bits > 0)]
        return [*head, prod(self.shapes[p.target]), places_at, self._add_fan_out(p), *last]

    def _dense(self, p: CodedProjection, weight: NDArray[Any], nothing: int, dtype: Any) -> NDArray[Any]:
        """Return weights by source, each row as long as the padded target; padding weighs ``nothing``."""
        n_out, n_in = weight.shape
        rows = np.full((n_in, int(self.padded[self.names.index(p.target)])), nothing, dtype)
        source, target = self.order[p.source], self.order[p.target]
        rows[slice(n_in) if source is None else source, :n_out] = weight.T
        if target is not None:
            rows[:, target] = rows[:, :n_out].copy()
        return rows.ravel()

    def _sparse(self, p: CodedProjection, weight: NDArray[Any]) -> tuple[NDArray[Any], Ints, NDArray[Any]]:
        """Return weights, indptr and indices by source, in the tables' order."""
        assert p.indices is not None and p.indptr is not None
        source, target = self.order[p.source], self.order[p.target]
        indices = p.indices if target is None else target[p.indices]
        if source is None:
            return weight, p.indptr, indices
        by_place = np.argsort(source)
        counts = np.diff(p.indptr)[by_place]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(p.indptr[:-1][by_place] - indptr[:-1], counts) + np.arange(len(weight))
        return weight[at], indptr, indices[at]

    def _add_places(self, p: CodedProjection) -> int:
        """Return where the places of a convolution's sums begin, or -1 where they lie as the target's neurons do."""
        of_sums, of_target = _order(p.output_shape(self.shapes[p.source])), self.order[p.target]
        assert of_sums is not None
        if of_target is not None and np.array_equal(of_sums, of_target):
            return -1
        places = np.empty(len(of_sums), np.int64)
        places[of_sums] = np.arange(len(of_sums)) if of_target is None else of_target
        self.places.append(places)
        return sum(map(len, self.places[:-1]))

    def _add_fan_out(self, p: CodedProjection) -> int:
        """Return where the sources' counts of weights other than 0 begin, or -1 where all are."""
        if p.weight.all():
            return -1
        counts, source = fan_outs(p, self.shapes[p.source]), self.order[p.source]
        placed = counts
        if source is not None:
            placed = np.empty_like(counts)
            placed[source] = counts
        self.fan_out.append(placed)
        return sum(map(len, self.fan_out[:-1]))

    def _geometry(self, p: CodedProjection) -> list[int]:
        """Return a convolution's columns.

        They are c_in, w_in, h_out, w_out, c_out / groups, c_in / groups, c_out, kernel, stride, padding and dilation.
        """
        assert p.stride and p.padding is not None and p.dilation and p.groups
        n_out, per_group, height, width = p.weight.shape
        shape_in = as_map(self.shapes[p.source])
        _, h_out, w_out = p.output_shape(shape_in)
        extents: list[Any] = [shape_in[0], shape_in[2], h_out, w_out, n_out // p.groups, per_group, n_out]
        return [*extents, height, width, *p.stride, *p.padding, *p.dilation]


def _bytes(weight: NDArray[Any]) -> tuple[int, int, int]:
    """Return kind, shift and level with which ``(weight >> shift) - level`` fits 8 bits, if any does.

    All codes of a chip's synapses do: mixed ones are even, and those of one sign lie within 255 of 0.
    """
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    shift = 1 if weight.size and not (weight & 1).any() else 0
    for down, level in ((0, 0), (shift, 0), (0, 128), (0, -127)):
        if low >> down >= level - 128 and high >> down <= level + 127:
            return DENSE8, down, level
    return DENSE16, 0, 0


def _conv_source_major(p: CodedProjection, weight: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return a convolution's weights as (c_in, h, w, c_out / groups)."""
    assert p.groups is not None
    n_out, per_group, height, width = weight.shape
    grouped = weight.reshape(p.groups, n_out // p.groups, per_group, height, width)
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)).ravel()

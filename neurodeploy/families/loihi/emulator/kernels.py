"""The emulator's loop over time and populations, equal to :mod:`neurodeploy.families.loihi.definition` to the bit.

Compiled with numba. A step of a population is three phases: what spikes deliver (:mod:`delivery`), what its neurons do
with it (:mod:`neuron_step`), and what they send and what is recorded of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurodeploy.families.loihi.emulator.compiling import compiled, entry, inlined
from neurodeploy.families.loihi.emulator.delivery import count_synops, deliver
from neurodeploy.families.loihi.emulator.flags import compress, gather, mark
from neurodeploy.families.loihi.emulator.neuron_step import update_custom, update_plain
from neurodeploy.families.loihi.emulator.tables import (
    ARRIVALS,
    DELAY,
    FIRES,
    INPUT_LIMIT,
    INPUT_WRAPS,
    INTERVAL,
    IS_CUSTOM,
    KEEPS_U,
    OFFSET,
    SENDS_GRADED,
    SOURCE,
    SPIKES,
)

BLOCK, BLOCK_CELLS = 64, 2**22
"""Steps that a population outside loops takes at a time, so that its weights stay in the cache; fewer if neurons times
steps were beyond the second."""


class State(NamedTuple):
    """What a sample carries from step to step.

    u, v: int32 (neurons,), registers. memory: int32 (4, neurons), of programmable neurons, see ``update_custom``.
    active: int32 (slots, neurons), from each node's first neuron on the places, within the node, of those that fired;
        row t lies in slot ``t % slots``. n_active: int64 (slots, nodes), how many they are.
    payload: int32 of active's shape, what each of them carries, or of no neurons where all spikes are plain.
    """

    u: Any
    v: Any
    memory: Any
    active: Any
    n_active: Any
    payload: Any


class Scratch(NamedTuple):
    """Space for one population in one step, as long as the widest of them.

    total: int32, input in weight units. part, small: int32 and int16, sums of one projection. fired: uint8, 1 where a
    spike leaves. sent: int32, what it carries.
    """

    total: Any
    part: Any
    small: Any
    fired: Any
    sent: Any


class Own(NamedTuple):
    """A population's own part of tables, state, scratch space and outputs, by the names that they have there.

    node, place: its number among nodes, and among populations. first, n: its first neuron, and how many it has, padded.
    projections: rows of the projection table. column: int64 (n that are real,).
    """

    node: int
    place: int
    first: int
    n: int
    model: Any
    projections: Any
    threshold: Any
    bias: Any
    keep_u: Any
    keep_v: Any
    extra: Any
    u: Any
    v: Any
    memory: Any
    total: Any
    part: Any
    small: Any
    fired: Any
    sent: Any
    column: Any


class Outputs(NamedTuple):
    """Where a sample's results belong, and the settings of the run; see :func:`run_sample`."""

    sample: int
    wraps_once: bool
    counting: bool
    column: Any
    spikes: Any
    sent: Any
    v: Any
    u: Any
    counters: Any


@entry
def run_sample(  # type: ignore[no-untyped-def]
    tables, x, x_payload, n_rows, sample, wraps_once, counting, column, spikes_out, sent_out, v_out, u_out, counters
):
    """Run one sample.

    Args:
        tables: see :class:`Tables`.
        x: uint8 (T, neurons of all inputs, padded), 1 where something is sent.
        x_payload: int32 of the same shape, or of no neurons where all inputs are plain.
        n_rows: hardware steps.
        sample: its place in the outputs.
        wraps_once: whether u wraps by one turn only, as Lava's does.
        counting: whether all counters are filled; spikes are counted in any case.
        column: int64 (neurons,), column of each neuron in the outputs, or -1.
        spikes_out: uint8 (n_rows, samples, columns), zeros.
        sent_out: int32 of that shape, or of no columns.
        v_out: as sent_out.
        u_out: as sent_out.
        counters: int64 (n_rows, samples, populations, counters).
    """
    n, n_inputs, offset, loops = tables.offset[-1], tables.n_inputs, tables.offset, tables.loops
    block = max(1, min(BLOCK, BLOCK_CELLS // max(n, 1), n_rows))
    state, scratch = _new_state(tables, block + tables.max_delay, x_payload.shape[1] > 0), _new_scratch(offset)
    outputs = Outputs(sample, wraps_once, counting, column, spikes_out, sent_out, v_out, u_out, counters)
    active, n_active, payload, n_slots = state.active, state.n_active, state.payload, block + tables.max_delay
    for begin in range(0, n_rows, block):
        end = min(begin + block, n_rows)
        for t in range(begin, end):
            now = t % n_slots
            _list_inputs(t, x, x_payload, offset, n_inputs, active[now], n_active[now], payload[now])
        for group in range(len(loops)):
            members = tables.members[tables.groups[group] : tables.groups[group + 1]]
            _run_group(members, begin, end, 1 if loops[group] else end - begin, tables, state, scratch, outputs)


@inlined
def _new_state(tables, n_slots, has_payload):  # type: ignore[no-untyped-def]
    """Return the registers at their initial codes, and no spikes."""
    n = tables.offset[-1]
    graded = has_payload or (tables.models[:, SENDS_GRADED] > 0).any()
    return State(
        tables.u_init.copy(),
        tables.v_init.copy(),
        np.zeros((4, tables.extra.shape[1]), np.int32),
        np.zeros((n_slots, n), np.int32),
        np.zeros((n_slots, len(tables.size)), np.int64),
        np.zeros((n_slots, n if graded else 0), np.int32),
    )


@inlined
def _new_scratch(offset):  # type: ignore[no-untyped-def]
    """Return scratch space for the widest node."""
    n = (offset[1:] - offset[:-1]).max()
    return Scratch(
        np.zeros(n, np.int32),
        np.zeros(n, np.int32),
        np.zeros(n, np.int16),
        np.zeros(n, np.uint8),
        np.zeros(n, np.int32),
    )


@compiled
def _list_inputs(t, x, x_payload, offset, n_inputs, active, n_active, payload):  # type: ignore[no-untyped-def]
    """List what the inputs send in row t; rows beyond the data are empty."""
    for node in range(n_inputs):
        first, last = offset[node], offset[node + 1]
        n_active[node] = compress(x[t, first:last], active[first:]) if t < len(x) else 0
        if x_payload.shape[1]:
            for k in range(n_active[node]):
                payload[first + k] = x_payload[t, first + active[first + k]]


@compiled
def _run_group(members, begin, end, stride, tables, state, scratch, outputs):  # type: ignore[no-untyped-def]
    """Take populations from step ``begin`` to ``end``, each for ``stride`` steps before the next one has its turn.

    A stride of 1 lets populations in a loop see each other's spikes; a whole block keeps a population's weights in the
    cache.
    """
    for start in range(begin, end, stride):
        for node in members:
            own = _own(node, tables, state, scratch, outputs)
            for t in range(start, start + stride):
                count = outputs.counters[t, outputs.sample, own.place]
                _deliver_all(t, own, tables, state, outputs.counting, count)
                _update(t, own, outputs.wraps_once, outputs.counting, count)
                _send_and_record(t, own, state, outputs, count)


@inlined
def _own(node, tables, state, scratch, outputs):  # type: ignore[no-untyped-def]
    """Return what of all arrays belongs to one population; sliced once for many steps."""
    first, last, index = tables.offset[node], tables.offset[node + 1], node - tables.n_inputs
    n = last - first
    return Own(
        node, index, first, n, tables.models[index], tables.projections[tables.into[index] : tables.into[index + 1]],
        tables.threshold[first:last], tables.bias[first:last], tables.keep_u[first:last], tables.keep_v[first:last],
        tables.extra[:, first:last], state.u[first:last], state.v[first:last], state.memory[:, first:last],
        scratch.total[:n], scratch.part[:n], scratch.small[:n], scratch.fired[:n], scratch.sent,
        outputs.column[first : first + tables.size[node]],
    )  # fmt: skip


@inlined
def _deliver_all(t, own, tables, state, counting, count):  # type: ignore[no-untyped-def]
    """Sum what arrives at a population in step t into ``own.total``, from all projections into it."""
    n_slots, total = len(state.active), own.total
    for k in range(own.n):
        total[k] = 0
    for p in range(len(own.projections)):
        row = own.projections[p]
        if t >= row[DELAY]:
            slot, source = (t - row[DELAY]) % n_slots, row[SOURCE]
            first, n_sent = tables.offset[source], state.n_active[slot, source]
            spikes, values = state.active[slot, first:], state.payload[slot, min(first, state.payload.shape[1]) :]
            count[ARRIVALS] += n_sent
            delivered = deliver(
                tables.weight8, tables.weight16, tables.indptr, tables.indices, tables.places, row, spikes, values,
                n_sent, own.small, total, own.part,
            )  # fmt: skip
            count_synops(tables.fan_out, row, spikes, n_sent if counting else 0, delivered, count)
    count[INPUT_WRAPS] += _beyond(total, own.model[INPUT_LIMIT] * counting)


@inlined
def _update(t, own, wraps_once, counting, count):  # type: ignore[no-untyped-def]
    """Take a population's registers through step t: a reset if one is due, then the neurons' own step."""
    model = own.model
    if model[INTERVAL] and (t + 1) % model[INTERVAL] == model[OFFSET]:
        own.u[:] = 0
        own.v[:] = 0
        own.memory[3] = 0
    if model[IS_CUSTOM]:
        update_custom(
            model, own.extra, own.memory, own.threshold, own.bias, own.keep_u, own.keep_v, own.u, own.v, own.total,
            wraps_once, own.fired, own.sent, count,
        )  # fmt: skip
    else:
        update_plain(
            own.threshold, own.bias, own.keep_u, own.keep_v, own.u, own.v, own.total, model[KEEPS_U] != 0, wraps_once,
            counting, own.fired, count,
        )  # fmt: skip


@inlined
def _send_and_record(t, own, state, outputs, count):  # type: ignore[no-untyped-def]
    """List the spikes of step t for those that they will reach, count them, and record what is asked for."""
    now, sample, n_fires = t % len(state.active), outputs.sample, own.model[FIRES]
    places = state.active[now, own.first : own.first + own.n]
    n_fired = compress(own.fired, places)
    state.n_active[now, own.node] = n_fired
    count[SPIKES] = n_fired * n_fires
    if own.model[SENDS_GRADED]:
        count[SPIKES] = n_fires * gather(own.sent, places, n_fired, state.payload[now, own.first :])
    if len(own.column) > 0 and own.column[0] >= 0:
        mark(places, n_fired, own.column, outputs.spikes[t, sample])
        _record(own.v, own.column, outputs.v[t, sample])
        _record(own.u, own.column, outputs.u[t, sample])
        _record(own.sent, own.column, outputs.sent[t, sample])


@inlined
def _beyond(total, limit):  # type: ignore[no-untyped-def]
    """Return how many sums leave a register that holds ``-limit`` to ``limit - 1``; none where the limit is 0."""
    found = 0
    for k in range(len(total) if limit else 0):
        found += (total[k] < -limit) | (total[k] >= limit)
    return found


@inlined
def _record(values, column, out):  # type: ignore[no-untyped-def]
    """Copy a population's values into their columns of a row, if the row has any."""
    for k in range(len(column) if len(out) > 0 else 0):
        out[column[k]] = values[k]

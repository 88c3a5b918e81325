"""The emulator's inner loops, compiled with numba: equal to :mod:`neurodeploy.families.loihi.definition` to the bit.

All sums are of int32 and wrap, as Lava's and the definition's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.families.loihi.emulator.tables import (
    ADAPTIVE,
    CLEARS,
    CONV,
    DELAY,
    DENSE8,
    DENSE16,
    EXPONENT,
    FAN_OUT_AT,
    FIRES,
    FLOOR,
    GEOMETRY,
    GRADED,
    INPUT_LIMIT,
    INTERVAL,
    IS_CUSTOM,
    KEEPS_U,
    KIND,
    LEVEL,
    LOWERS,
    MAX_SPIKES,
    MEETS,
    N_OUT,
    OFFSET,
    PLACES_AT,
    REFRACTORY,
    RESET,
    SECOND,
    SENDS_GRADED,
    SHIFT,
    SOURCE,
    SPARSE,
    SUBTRACT,
    SUBTRACT_LATE,
    SUBTRACT_PENDING,
    TERNARY,
    WEIGHT_AT,
    ZERO,
    ZERO_LATE,
)

SPIKES, SYNOPS, ACTIVE, U_WRAPS, V_CLIPS, ARRIVALS, SYNOPS_DENSE, INPUT_WRAPS = range(8)
"""Counters in the order of ``definition.COUNTERS``."""

MOST_ROWS = 248
"""Rows of 8-bit weights whose sum fits 16 bits, in eights."""

BLOCK, BLOCK_CELLS = 64, 2**22
"""Steps that a population outside loops takes at a time, so that its weights stay in the cache; fewer if neurons times
steps were beyond the second."""

_ONE, _DE_BRUIJN = np.uint64(1), np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, np.int32)
"""Place in a block of 64 flags of each bit that ``_scan`` finds: bit 8 * b + i is byte b of word i."""
for _bit in range(64):
    _PLACE[((int(_DE_BRUIJN) << _bit) % 2**64) >> 58] = 8 * (_bit % 8) + _bit // 8

_LOOPS: Any = {"cache": True, "nogil": True, "_nrt": False}
"""Without reference counts, which each slice pays for twice: nothing but ``run_sample`` makes arrays."""

compiled, inlined = njit(**_LOOPS), njit(inline="always", **_LOOPS)

_TURN = np.int32(2 * STATE_LIMIT)
_LIMIT = np.int32(STATE_LIMIT)
_TOP = np.int32(STATE_LIMIT - 1)
_ALIGN = np.int32(ALIGN_BITS)
_DECAY = np.int32(DECAY_BITS)
_FRACTION = np.int32(2**DECAY_BITS - 1)


@inlined
def deliver_bytes(sent, n_sent, weight, row, part, total):  # type: ignore[no-untyped-def]
    """Add the rows of 8-bit weights of active sources to ``total``, eight at a time; return how many rows that were.

    Sums are kept in 16 bits for as long as they surely fit, ``255 * 128 < 2**15``.

    sent: int32, active sources. row: of the projection table. part: int16 (n,), scratch. total: int32 (n,).
    """
    n, start = len(total), row[WEIGHT_AT]
    factor, level = np.int32(1 << row[SHIFT]), np.int32(row[LEVEL])
    for first in range(0, n_sent, MOST_ROWS):
        k, end = first, min(first + MOST_ROWS, n_sent)
        for j in range(n):
            part[j] = 0
        while k + 8 <= end:
            a, b = _row(weight, start, sent[k], n), _row(weight, start, sent[k + 1], n)
            c, d = _row(weight, start, sent[k + 2], n), _row(weight, start, sent[k + 3], n)
            e, f = _row(weight, start, sent[k + 4], n), _row(weight, start, sent[k + 5], n)
            g, h = _row(weight, start, sent[k + 6], n), _row(weight, start, sent[k + 7], n)
            for j in range(n):
                eight = np.int16(
                    np.int16(a[j]) + np.int16(b[j]) + np.int16(c[j]) + np.int16(d[j])
                    + np.int16(e[j]) + np.int16(f[j]) + np.int16(g[j]) + np.int16(h[j])
                )  # fmt: skip
                part[j] = np.int16(part[j] + eight)
            k += 8
        while k < end:
            a = _row(weight, start, sent[k], n)
            for j in range(n):
                part[j] = np.int16(part[j] + np.int16(a[j]))
            k += 1
        levels = np.int32(level * (end - first))
        for j in range(n):
            total[j] += (np.int32(part[j]) + levels) * factor
    return n_sent


@compiled
def deliver_dense(sent, payload, n_sent, weight, row, total):  # type: ignore[no-untyped-def]
    """Add the rows of weights of active sources, times their payloads, to ``total``; return how many rows that were."""
    n, level = len(total), row[LEVEL]
    for k in range(n_sent):
        a, factor = _row(weight, row[WEIGHT_AT], sent[k], n), _factor(payload, k, row)
        for j in range(n):
            total[j] += np.int32(a[j] + level) * factor
    return n_sent


@inlined
def _row(weight, start, source, n):  # type: ignore[no-untyped-def]
    at = start + source * n
    return weight[at : at + n]


@inlined
def _factor(payload, k, row):  # type: ignore[no-untyped-def]
    """Return by what the weights of the k-th spike are multiplied: its payload, if any, shifted."""
    return np.int32(np.int32(payload[k] if row[GRADED] else 1) << np.int32(row[SHIFT]))


@compiled
def deliver_sparse(sent, payload, n_sent, weight, row, indptr, indices, total):  # type: ignore[no-untyped-def]
    """Add the weights of active sources to the neurons that they reach; return how many were delivered."""
    delivered = 0
    for k in range(n_sent):
        factor, first, last = _factor(payload, k, row), indptr[sent[k]], indptr[sent[k] + 1]
        for i in range(first, last):
            total[np.uint32(indices[i])] += weight[i] * factor
        delivered += last - first
    return delivered


@compiled
def deliver_conv(sent, payload, n_sent, weight, row, total):  # type: ignore[no-untyped-def]
    """Add the kernel of every active source to the windows it lies in; return how many weights were delivered."""
    start, g = row[WEIGHT_AT], row[GEOMETRY:]
    c_in, w_in, h_out, w_out, per_out, per_in, c_out, k_h, k_w, s_h, s_w, p_h, p_w, d_h, d_w = (
        g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14],
    )  # fmt: skip
    delivered = 0
    for k in range(n_sent):
        factor = _factor(payload, k, row)
        pixel, channel = sent[k] // c_in, sent[k] % c_in
        y, x = pixel // w_in + p_h, pixel % w_in + p_w
        first_out = (channel // per_in) * per_out
        for i in range(k_h):
            top = y - i * d_h
            if top < 0 or top % s_h != 0 or top // s_h >= h_out:
                continue
            for j in range(k_w):
                left = x - j * d_w
                if left < 0 or left % s_w != 0 or left // s_w >= w_out:
                    continue
                to = ((top // s_h) * w_out + left // s_w) * c_out + first_out
                at = start + ((channel * k_h + i) * k_w + j) * per_out
                out, own = total[to : to + per_out], weight[at : at + per_out]
                for c in range(per_out):
                    out[c] += own[c] * factor
                delivered += per_out
    return delivered


@inlined
def _decay(x, keep):  # type: ignore[no-untyped-def]
    """Return ``sign(x) * ((abs(x) * keep) >> 12)`` within 32 bits, the upper and the lower 12 bits of x apart."""
    size = abs(x)
    kept = (size >> _DECAY) * keep + (((size & _FRACTION) * keep) >> _DECAY)
    return kept if x >= 0 else -kept


@inlined
def _wrap(current, wraps_once):  # type: ignore[no-untyped-def]
    """Return u within (-2**23, 2**23]; see ``definition.wrap``."""
    if wraps_once:
        return np.int32(current - (current > _LIMIT) * _TURN + (current <= -_LIMIT) * _TURN)
    return np.int32(((current + _TOP) & (_TURN - np.int32(1))) - _TOP)


@compiled
def update_plain(  # type: ignore[no-untyped-def]
    threshold, bias, keep_u, keep_v, u, v, a, keeps_u, wraps_once, counting, fired, count
):
    """Take one step of Loihi's own neurons.

    threshold, bias, keep_u, keep_v: of the population, see ``Tables``. u, v, a: int32 (n,). fired: uint8 (n,), written.
    keeps_u: whether any keep_u is above 0; a current that nothing is kept of needs no decay.
    counting: whether ``count``, int64 (counters,), is added to; spikes are not counted here.
    """
    # Written out, because each becomes a loop of its own without a branch in it.
    if keeps_u and counting:
        _step(threshold, bias, keep_u, keep_v, u, v, a, True, wraps_once, True, fired, count)
    elif keeps_u:
        _step(threshold, bias, keep_u, keep_v, u, v, a, True, wraps_once, False, fired, count)
    elif counting:
        _step(threshold, bias, keep_u, keep_v, u, v, a, False, wraps_once, True, fired, count)
    else:
        _step(threshold, bias, keep_u, keep_v, u, v, a, False, wraps_once, False, fired, count)


@inlined
def _step(  # type: ignore[no-untyped-def]
    threshold, bias, keep_u, keep_v, u, v, a, keeps_u, wraps_once, counting, fired, count
):
    n_active, n_wraps, n_clips = np.int32(0), np.int32(0), np.int32(0)
    for k in range(len(u)):
        current = np.int32(a[k] << _ALIGN)
        if keeps_u:
            current = np.int32(current + _decay(u[k], keep_u[k]))
        wrapped = _wrap(current, wraps_once)
        potential = np.int32(_decay(v[k], keep_v[k]) + wrapped + bias[k])
        clipped = min(max(potential, -_TOP), _TOP)
        fires = clipped > threshold[k]
        if counting:
            n_active += np.int32((a[k] | (u[k] if keeps_u else np.int32(0)) | v[k] | bias[k]) != 0)
            n_wraps += np.int32(wrapped != current)
            n_clips += np.int32((potential > _TOP) | (potential < -_TOP))
        u[k] = wrapped
        v[k] = np.int32(0) if fires else clipped
        fired[k] = fires
    count[ACTIVE] += n_active
    count[U_WRAPS] += n_wraps
    count[V_CLIPS] += n_clips


@compiled
def update_custom(  # type: ignore[no-untyped-def]
    model, extra, memory, thresholds, biases, keep_u, keep_v, u, v, a, wraps_once, fired, payload, count
):
    """Take one step of programmable neurons; see ``definition.neuron``.

    model: row of the model table. extra: int32 (5, n), see ``Tables``. memory: int32 (4, n), what each neuron sent
    last, steps for which v is held, what the threshold is raised by, and the second current. payload: int32 (n,),
    written; the rest as above.
    """
    reset, n = model[RESET], len(u)
    for k in range(n):
        threshold, bias = thresholds[k], biases[k]
        before, hold, adapted, second = memory[0, k], memory[1, k], memory[2, k], memory[3, k]
        lowered, raised = (adapted, np.int32(0)) if model[LOWERS] else (np.int32(0), adapted)
        count[ACTIVE] += (a[k] | (u[k] if model[KEEPS_U] else np.int32(0)) | second | v[k] | bias) != 0
        current = np.int32(_decay(u[k], keep_u[k]) + (a[k] << _ALIGN))
        other = np.int32(_decay(second, extra[4, k]) - (a[k] << _ALIGN)) if model[SECOND] else np.int32(0)
        count[U_WRAPS] += (current > _LIMIT) | (current <= -_LIMIT) | (other > _LIMIT) | (other <= -_LIMIT)
        u[k], second = _wrap(current, wraps_once), _wrap(other, wraps_once)
        potential = np.int32(_decay(v[k], keep_v[k]) + u[k] + bias + second - lowered)
        owed = _owed(model, before, v[k], threshold + raised)
        potential = np.int32(potential - owed * threshold)
        potential_kept = min(max(potential, -_TOP), _TOP)
        count[V_CLIPS] += potential_kept != potential
        if hold > 0 or (reset == ZERO_LATE and before != 0):
            potential_kept = np.int32(0)
        sent = _count(potential_kept, threshold + raised, model[MAX_SPIKES], model[MEETS])
        if model[TERNARY] and potential_kept < extra[0, k]:
            sent = np.int32(sent - 1)
        if sent != 0:
            if reset == ZERO:
                potential_kept = np.int32(0)
            elif reset == SUBTRACT:
                potential_kept = np.int32(potential_kept - sent * (threshold + raised))
        if reset == SUBTRACT_PENDING:
            potential_kept = min(np.int32(potential_kept - (sent - owed) * threshold), _TOP)
        if model[FLOOR]:
            potential_kept = max(potential_kept, extra[1, k])
        v[k] = potential_kept
        memory[0, k] = sent
        memory[1, k] = model[REFRACTORY] if sent != 0 else max(hold - 1, 0)
        if model[ADAPTIVE]:
            grown = np.int64(_decay(adapted, extra[2, k])) + np.int64(sent) * extra[3, k]
            memory[2, k] = max(min(grown, STATE_LIMIT - 1), 1 - STATE_LIMIT)
        keeps = _keeps(model, sent, before)
        u[k], memory[3, k] = u[k] * keeps, second * keeps
        fired[k] = sent != 0
        payload[k] = sent


@inlined
def _keeps(model, sent, before):  # type: ignore[no-untyped-def]
    """Return 0 where a spike, of this step or of the one before, clears the currents, else 1."""
    due = sent if model[CLEARS] == 1 else before
    return np.int32(0) if model[CLEARS] and due != 0 else np.int32(1)


@inlined
def _owed(model, before, potential, threshold):  # type: ignore[no-untyped-def]
    """Return how many thresholds are subtracted before the spike test; ``before`` is what was sent last."""
    if model[RESET] == SUBTRACT_LATE:
        return before
    if model[RESET] == SUBTRACT_PENDING:
        return _count(potential, threshold, model[MAX_SPIKES], model[MEETS])
    return np.int32(0)


@inlined
def _count(potential, threshold, most, meets):  # type: ignore[no-untyped-def]
    """Return how often a potential holds the threshold, at most ``most`` times."""
    if potential < threshold or (potential == threshold and not meets):
        return np.int32(0)
    if most == 1:
        return np.int32(1)
    return np.int32(min(max(potential // max(threshold, 1), 1), most))


@inlined
def _scan(flags, active):  # type: ignore[no-untyped-def]
    """List the places of ones; return how many there are.

    64 flags at a time become the bits of a word, whose lowest one is found by a product with a de Bruijn sequence.
    The list is in no order, which sums do not need.

    Source: Leiserson, Prokop and Randall 1998, Using de Bruijn sequences to index a 1 in a computer word.
    """
    found, words = 0, flags.view(np.uint64)
    for w in range(0, len(words), 8):
        bits = np.uint64(0)
        for i in range(8):
            bits |= words[w + i] << np.uint64(i)
        while bits:
            low = bits & (~bits + _ONE)
            active[found] = np.int32(8 * w) + _PLACE[(low * _DE_BRUIJN) >> np.uint64(58)]
            found += 1
            bits ^= low
    return found


@njit(cache=True, nogil=True)
def run_sample(  # type: ignore[no-untyped-def]
    tables, x, x_payload, n_rows, sample, wraps_once, counting, column, spikes_out, sent_out, v_out, u_out, counters
):
    """Run one sample.

    tables: see :class:`Tables`. x: uint8 (T, neurons of all inputs, padded), 1 where something is sent.
    x_payload: int32 of the same shape, or of no neurons where all inputs are plain. n_rows: hardware steps.
    column: int64 (neurons,), column of each neuron in the outputs, or -1.
    spikes_out: uint8 (n_rows, samples, columns), zeros. sent_out, v_out, u_out: int32 of that shape, or of no columns.
    counters: int64 (n_rows, samples, populations, counters).
    """
    # One array each, because a tuple of arrays that is passed on costs a reference count for every array in it.
    (n_inputs, offset, sizes, projections, into, weight8, weight16, indptr, indices, places, fan_out, threshold, bias,
     keep_u, keep_v, u_init, v_init, models, extra, max_delay, groups, members, loops) = tables  # fmt: skip
    n = offset[-1]
    block = max(1, min(BLOCK, BLOCK_CELLS // max(n, 1), n_rows))
    n_slots = block + max_delay
    memory = np.zeros((4, extra.shape[1]), np.int32)
    graded = x_payload.shape[1] > 0 or (models[:, SENDS_GRADED] > 0).any()
    active, n_active = np.zeros((n_slots, n), np.int32), np.zeros((n_slots, len(sizes)), np.int64)
    payload = np.zeros((n_slots, n if graded else 0), np.int32)
    widest = (offset[1:] - offset[:-1]).max()
    total, part, fired = np.zeros(widest, np.int32), np.zeros(widest, np.int32), np.zeros(widest, np.uint8)
    network = (n_inputs, offset, sizes, projections, into, models, fan_out)
    synapses = (weight8, weight16, indptr, indices, places)
    neurons = (threshold, bias, keep_u, keep_v, extra)
    state = (u_init.copy(), v_init.copy(), memory, active, n_active, payload)
    scratch = (total, part, np.zeros(widest, np.int16), fired, np.zeros(widest, np.int32))
    outputs = (sample, wraps_once, counting, column, spikes_out, sent_out, v_out, u_out, counters)
    for begin in range(0, n_rows, block):
        end = min(begin + block, n_rows)
        for t in range(begin, end):
            now = t % n_slots
            _list_inputs(t, x, x_payload, offset, n_inputs, active[now], n_active[now], payload[now])
        for group in range(len(loops)):
            stride = 1 if loops[group] else end - begin
            own = members[groups[group] : groups[group + 1]]
            _run_group(own, begin, end, stride, network, synapses, neurons, state, scratch, outputs)


@compiled
def _run_group(  # type: ignore[no-untyped-def]
    members, begin, end, stride, network, synapses, neurons, state, scratch, outputs
):
    """Take populations from step ``begin`` to ``end``, each for ``stride`` steps before the next one has its turn."""
    n_inputs, offset, sizes, projections, into, models, fan_out = network
    weight8, weight16, indptr, indices, places = synapses
    threshold, bias, keep_u, keep_v, extra = neurons
    u, v, memory, active, n_active, payload = state
    total, part, small, fired, sent = scratch
    sample, wraps_once, counting, column, spikes_out, sent_out, v_out, u_out, counters = outputs
    n_slots = len(active)
    for turn in range(len(members) * ((end - begin) // stride)):
        node, start = members[turn % len(members)], begin + turn // len(members) * stride
        first, last, index = offset[node], offset[node + 1], node - n_inputs
        model, n = models[index], last - first
        own_u, own_v, own_threshold, own_bias = u[first:last], v[first:last], threshold[first:last], bias[first:last]
        own_keep_u, own_keep_v, own_total, own_fired = keep_u[first:last], keep_v[first:last], total[:n], fired[:n]
        own_column = column[first : first + sizes[node]]
        for t in range(start, start + stride):
            now, count = t % n_slots, counters[t, sample, index]
            own_active = active[now, first:last]
            for k in range(n):
                own_total[k] = 0
            for p in range(into[index], into[index + 1]):
                row = projections[p]
                if t >= row[DELAY]:
                    slot, source = (t - row[DELAY]) % n_slots, row[SOURCE]
                    values = payload[slot, min(offset[source], payload.shape[1]) :]
                    count[ARRIVALS] += n_active[slot, source]
                    delivered = _deliver(
                        weight8, weight16, indptr, indices, places, row, active[slot, offset[source] :], values,
                        n_active[slot, source], small[:n], own_total, part[:n],
                    )  # fmt: skip
                    n_sent = n_active[slot, source] if counting else 0
                    _count_synops(fan_out, row, active[slot, offset[source] :], n_sent, delivered, count)
            count[INPUT_WRAPS] += _beyond(own_total, model[INPUT_LIMIT] * counting)
            if model[INTERVAL] and (t + 1) % model[INTERVAL] == model[OFFSET]:
                own_u[:] = 0
                own_v[:] = 0
                memory[3, first : min(last, memory.shape[1])] = 0
            if model[IS_CUSTOM]:
                update_custom(
                    model, extra[:, first:last], memory[:, first:last], own_threshold, own_bias, own_keep_u,
                    own_keep_v, own_u, own_v, own_total, wraps_once, own_fired, sent, count,
                )  # fmt: skip
            else:
                update_plain(
                    own_threshold, own_bias, own_keep_u, own_keep_v, own_u, own_v, own_total, model[KEEPS_U] != 0,
                    wraps_once, counting, own_fired, count,
                )  # fmt: skip
            n_active[now, node] = _scan(own_fired, own_active)
            count[SPIKES] = n_active[now, node] * model[FIRES]
            if model[SENDS_GRADED]:
                count[SPIKES] = model[FIRES] * _gather(sent, own_active, n_active[now, node], payload[now, first:])
            if n > 0 and column[first] >= 0:
                _mark(own_active, n_active[now, node], own_column, spikes_out[t, sample])
                _record(own_v, own_column, v_out[t, sample])
                _record(own_u, own_column, u_out[t, sample])
                _record(sent, own_column, sent_out[t, sample])


@inlined
def _beyond(total, limit):  # type: ignore[no-untyped-def]
    """Return how many sums leave a register that holds ``-limit`` to ``limit - 1``; none where the limit is 0."""
    found = 0
    for k in range(len(total) if limit else 0):
        found += (total[k] < -limit) | (total[k] >= limit)
    return found


@compiled
def _list_inputs(t, x, x_payload, offset, n_inputs, active, n_active, payload):  # type: ignore[no-untyped-def]
    """List what the inputs send in row t; rows beyond the data are empty."""
    for node in range(n_inputs):
        first, last = offset[node], offset[node + 1]
        n_active[node] = _scan(x[t, first:last], active[first:]) if t < len(x) else 0
        if x_payload.shape[1]:
            for k in range(n_active[node]):
                payload[first + k] = x_payload[t, first + active[first + k]]


@inlined
def _gather(values, places, n, out):  # type: ignore[no-untyped-def]
    """List the values at the places; return the sum of their sizes."""
    size = 0
    for k in range(n):
        out[k] = values[places[k]]
        size += abs(out[k])
    return size


@inlined
def _count_synops(fan_out, row, sent, n_sent, delivered, count):  # type: ignore[no-untyped-def]
    """Count what spikes delivered, and what a dense store would; weights of 0 are no synaptic operations."""
    count[SYNOPS_DENSE] += n_sent * row[N_OUT] if row[KIND] == SPARSE else delivered
    if row[FAN_OUT_AT] >= 0:
        delivered = 0
        for k in range(n_sent):
            delivered += fan_out[row[FAN_OUT_AT] + sent[k]]
    count[SYNOPS] += delivered


@inlined
def _mark(places, n, column, out):  # type: ignore[no-untyped-def]
    """Set the columns of those that fired to 1, if the row has any."""
    for k in range(n if len(out) > 0 else 0):
        out[column[places[k]]] = 1


@inlined
def _record(values, column, out):  # type: ignore[no-untyped-def]
    """Copy a population's values into their columns of a row, if the row has any."""
    for k in range(len(column) if len(out) > 0 else 0):
        out[column[k]] = values[k]


@inlined
def _deliver(  # type: ignore[no-untyped-def]
    weight8, weight16, indptr, indices, places, row, sent, payload, n_sent, small, total, part
):
    """Add what one projection delivers to ``total``; return how many weights that were.

    Two need a sum of their own: a negative exponent, in Lava's arithmetic, which shifts the sum, and a convolution that
    sums in another order than its target's.
    """
    kind, exponent, first = row[KIND], row[EXPONENT], row[PLACES_AT]
    apart = exponent < 0 or first >= 0
    into = part if apart else total
    if apart:
        for j in range(len(part)):
            part[j] = 0
    if kind == DENSE8 and row[GRADED] == 0:
        delivered = deliver_bytes(sent, n_sent, weight8, row, small, into) * row[N_OUT]
    elif kind == DENSE8:
        delivered = deliver_dense(sent, payload, n_sent, weight8, row, into) * row[N_OUT]
    elif kind == DENSE16:
        delivered = deliver_dense(sent, payload, n_sent, weight16, row, into) * row[N_OUT]
    elif kind == CONV:
        delivered = deliver_conv(sent, payload, n_sent, weight16, row, into)
    else:
        starts, targets = indptr[row[GEOMETRY] :], indices[row[GEOMETRY + 1] :]
        delivered = deliver_sparse(sent, payload, n_sent, weight16[row[WEIGHT_AT] :], row, starts, targets, into)
    if apart:
        end = first + row[N_OUT] if first >= 0 else first
        _add_sums(part, np.int32(max(-exponent, 0)), places[first:end], total)
    return delivered


@inlined
def _add_sums(sums, down, places, total):  # type: ignore[no-untyped-def]
    """Add sums, shifted, to ``total``: at their places, or in its own order where there are none."""
    if len(places) > 0:
        for j in range(len(places)):
            total[np.uint32(places[j])] += sums[j] >> down
    else:
        for j in range(len(total)):
            total[j] += sums[j] >> down

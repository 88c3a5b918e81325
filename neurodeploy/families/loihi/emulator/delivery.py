"""Delivery of spikes through synapses, summed for each neuron; compiled with numba.

All sums are of int32 and wrap, as Lava's and the definition's do, so that spikes may come in any order.
"""

from __future__ import annotations

import numpy as np

from neurodeploy.families.loihi.emulator.compiling import compiled, inlined
from neurodeploy.families.loihi.emulator.tables import (
    CONV,
    DENSE8,
    DENSE16,
    EXPONENT,
    FAN_OUT_AT,
    GEOMETRY,
    GRADED,
    KIND,
    LEVEL,
    N_OUT,
    PLACES_AT,
    SHIFT,
    SPARSE,
    SYNOPS,
    SYNOPS_DENSE,
    WEIGHT_AT,
)

ROWS_THAT_FIT_INT16 = 248
"""Rows of 8-bit weights whose sum surely fits 16 bits, in eights: ``248 * 128 < 2**15``."""


@inlined
def deliver(  # type: ignore[no-untyped-def]
    weight8, weight16, indptr, indices, places, row, sent, payload, n_sent, small, total, part
):
    """Add what one projection delivers to ``total``; return how many weights that were.

    Two need a sum of their own: a negative exponent, in Lava's arithmetic, which shifts the sum, and a convolution that
    sums in another order than its target's.

    Args:
        weight8, weight16, indptr, indices, places: see ``Tables``.
        row: of the projection table.
        sent, payload, n_sent: int32, places of active sources, what each of them carries, and how many they are.
        small, part: int16 and int32 (n,), scratch.
        total: int32 (n,), input in weight units.
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


@inlined
def count_synops(fan_out, row, sent, n_sent, delivered, count):  # type: ignore[no-untyped-def]
    """Count what spikes delivered, and what a dense store would; weights of 0 are no synaptic operations.

    Args:
        fan_out: see ``Tables``.
        row: of the projection table.
        sent, n_sent: int32, places of active sources, and how many they are.
        delivered: of :func:`deliver`.
        count: int64 (counters,), added to.
    """
    count[SYNOPS_DENSE] += n_sent * row[N_OUT] if row[KIND] == SPARSE else delivered
    if row[FAN_OUT_AT] >= 0:
        delivered = 0
        for k in range(n_sent):
            delivered += fan_out[row[FAN_OUT_AT] + sent[k]]
    count[SYNOPS] += delivered


@inlined
def deliver_bytes(sent, n_sent, weight, row, part, total):  # type: ignore[no-untyped-def]
    """Add the rows of 8-bit weights of active sources to ``total``; return how many rows that were.

    Eight rows at a time, so that the sums stay in 16-bit lanes, twice as many to a vector as 32 bits would allow; at
    most 248 rows, since ``248 * 128 < 2**15``, before the sums are widened.

    Args:
        sent: int32, active sources; ``n_sent`` of them.
        n_sent: how many.
        weight: int8, of all projections.
        row: of the projection table.
        part: int16 (n,), scratch.
        total: int32 (n,), added to.
    """
    factor, level = np.int32(1 << row[SHIFT]), np.int32(row[LEVEL])
    for first in range(0, n_sent, ROWS_THAT_FIT_INT16):
        end = min(first + ROWS_THAT_FIT_INT16, n_sent)
        _sum_rows(sent, first, end, weight, row[WEIGHT_AT], part)
        levels = np.int32(level * (end - first))
        for j in range(len(total)):
            total[j] += (np.int32(part[j]) + levels) * factor
    return n_sent


@inlined
def _sum_rows(sent, first, end, weight, start, part):  # type: ignore[no-untyped-def]
    """Write the sum of the rows of spikes ``first`` to ``end`` into ``part``."""
    k, n = first, len(part)
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


@compiled
def deliver_dense(sent, payload, n_sent, weight, row, total):  # type: ignore[no-untyped-def]
    """Add the rows of weights of active sources, times their payloads, to ``total``; return how many rows that were.

    Args:
        sent, payload, n_sent: int32, places of active sources, what each of them carries, and how many they are.
        weight: int8 or int16, of all projections.
        row: of the projection table.
        total: int32 (n,), added to.
    """
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
    """Add the weights of active sources to the neurons that they reach; return how many were delivered.

    Args:
        sent, payload, n_sent: int32, places of active sources, what each of them carries, and how many they are.
        weight: int16, of this projection and those after it.
        row: of the projection table.
        indptr, indices: int64 and int32, of this projection and those after it.
        total: int32 (n,), added to.
    """
    delivered = 0
    for k in range(n_sent):
        factor, first, last = _factor(payload, k, row), indptr[sent[k]], indptr[sent[k] + 1]
        for i in range(first, last):
            total[np.uint32(indices[i])] += weight[i] * factor
        delivered += last - first
    return delivered


@compiled
def deliver_conv(sent, payload, n_sent, weight, row, total):  # type: ignore[no-untyped-def]
    """Add the kernel of every active source to the windows it lies in; return how many weights were delivered.

    Args:
        sent, payload, n_sent: int32, places of active sources, what each of them carries, and how many they are.
        weight: int16, of all projections.
        row: of the projection table, with the geometry.
        total: int32 (n,), added to.
    """
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

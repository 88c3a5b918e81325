"""The emulator's inner loops, compiled with numba; they equal :mod:`neurodeploy.backends.emulator.twin` bit for bit."""

from __future__ import annotations

import numpy as np
from numba import njit

from neurodeploy.arithmetic import ALIGN_BITS, STATE_LIMIT
from neurodeploy.backends.emulator.tables import (
    DELAY,
    EIGHT_AT_ONCE,
    EXPONENT,
    GEOMETRY,
    IS_CONV,
    N_OUT,
    SOURCE,
    WEIGHT_AT,
)

_TURN = 2 * STATE_LIMIT

SPIKES, SYNOPS, ACTIVE, U_WRAPS, V_CLIPS = range(5)
"""Counters in the order of ``twin.COUNTERS``."""


@njit(cache=True, nogil=True)
def deliver_dense(active, n_active, weight, start, n_out, eight_at_once, total):  # type: ignore[no-untyped-def]
    """Add the weights of active sources to ``total``; return how many were delivered.

    Eight rows at once are summed in 16 bits, where their weights allow it, before the sum meets the 32-bit total.
    """
    k = 0
    while eight_at_once and k + 8 <= n_active:
        a, b = _row(weight, start, active[k], n_out), _row(weight, start, active[k + 1], n_out)
        c, d = _row(weight, start, active[k + 2], n_out), _row(weight, start, active[k + 3], n_out)
        e, f = _row(weight, start, active[k + 4], n_out), _row(weight, start, active[k + 5], n_out)
        g, h = _row(weight, start, active[k + 6], n_out), _row(weight, start, active[k + 7], n_out)
        for j in range(n_out):
            total[j] += np.int16(a[j] + b[j] + c[j] + d[j] + e[j] + f[j] + g[j] + h[j])
        k += 8
    while k < n_active:
        row = _row(weight, start, active[k], n_out)
        for j in range(n_out):
            total[j] += row[j]
        k += 1
    return n_active * n_out


@njit(cache=True, nogil=True, inline="always")
def _row(weight, start, source, n_out):  # type: ignore[no-untyped-def]
    at = start + source * n_out
    return weight[at : at + n_out]


@njit(cache=True, nogil=True)
def deliver_conv(active, n_active, weight, start, g, total):  # type: ignore[no-untyped-def]
    """Add the kernel of every active source to the windows it lies in; return how many weights were delivered."""
    c_in, w_in, h_out, w_out, per_out, per_in, c_out, k_h, k_w, s_h, s_w, p_h, p_w, d_h, d_w = (
        g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14],
    )  # fmt: skip
    delivered = 0
    for k in range(n_active):
        pixel, channel = active[k] // c_in, active[k] % c_in
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
                out, row = total[to : to + per_out], weight[at : at + per_out]
                for c in range(per_out):
                    out[c] += row[c]
                delivered += per_out
    return delivered


@njit(cache=True, nogil=True)
def update_neurons(codes, keep, first, u, v, a, wraps_once, fired, count):  # type: ignore[no-untyped-def]
    """Take one step of a population; return how many fired, their places in ``fired``.

    A register times a decay of 12 bits is exact in float64, and a cast truncates towards zero, as the chip does.

    codes, keep: the tables' rows, of all neurons. first: the population's first neuron. u, v, a: int32 views of the
    population. count: int64 (5,), added to.
    """
    n = len(u)
    threshold, bias = codes[0, first : first + n], codes[1, first : first + n]
    keep_u, keep_v = keep[0, first : first + n], keep[1, first : first + n]
    n_active, n_wraps, n_clips, n_spikes = 0, 0, 0, 0
    for k in range(n):
        n_active += (a[k] | u[k] | v[k] | bias[k]) != 0
        current = np.int32(np.int32(u[k] * keep_u[k]) + (a[k] << ALIGN_BITS))
        above, below = current > STATE_LIMIT, current <= -STATE_LIMIT
        n_wraps += above | below
        if wraps_once:
            current = np.int32(current - above * _TURN + below * _TURN)
        else:
            current = np.int32(((current + STATE_LIMIT - 1) & (_TURN - 1)) - STATE_LIMIT + 1)
        potential = np.int32(np.int32(v[k] * keep_v[k]) + current + bias[k])
        clipped = min(max(potential, -(STATE_LIMIT - 1)), STATE_LIMIT - 1)
        n_clips += clipped != potential
        fires = clipped > threshold[k]
        n_spikes += fires
        u[k] = current
        v[k] = 0 if fires else clipped
        fired[k] = fires
    count[ACTIVE] += n_active
    count[U_WRAPS] += n_wraps
    count[V_CLIPS] += n_clips
    count[SPIKES] += n_spikes
    return _compress(fired, n, n_spikes)


@njit(cache=True, nogil=True)
def _compress(fired, n, n_spikes):  # type: ignore[no-untyped-def]
    """Turn flags into the places that they mark, in place; return how many there are."""
    found = 0
    for k in range(n if n_spikes else 0):
        flag = fired[k]
        fired[found] = k
        found += flag
    return n_spikes


@njit(cache=True, nogil=True)
def run_sample(  # type: ignore[no-untyped-def]
    tables, x, n_rows, wraps_once, record, spikes_out, v_out, u_out, counters
):
    """Run one sample.

    tables: see :class:`Tables`. x: uint8 (T, neurons of all inputs). n_rows: hardware steps.
    record: int64 (neurons,), column of each neuron in the outputs, or -1.
    spikes_out: uint8 (n_rows, columns), zeros. v_out, u_out: int32 (n_rows, columns) or of no columns.
    counters: int64 (n_rows, populations, 5).
    """
    n_inputs, offset, projections, into, weight, codes, keep, start, max_delay = tables
    n_nodes, n_neurons = len(offset) - 1, offset[-1]
    u, v = start[0].copy(), start[1].copy()
    active = np.zeros((max_delay + 1, n_neurons), np.int32)
    n_active = np.zeros((max_delay + 1, n_nodes), np.int64)
    widest = 0
    for node in range(n_nodes):
        widest = max(widest, offset[node + 1] - offset[node])
    total, part = np.zeros(widest, np.int32), np.zeros(widest, np.int32)
    for t in range(n_rows):
        now = t % (max_delay + 1)
        for node in range(n_inputs):
            n_active[now, node] = _scan(x, t, offset[node], offset[node + 1], active[now, offset[node] :])
        for node in range(n_inputs, n_nodes):
            first, last = offset[node], offset[node + 1]
            size = last - first
            count = counters[t, node - n_inputs]
            total[:size] = 0
            for p in range(into[node - n_inputs], into[node - n_inputs + 1]):
                row = projections[p]
                if t < row[DELAY]:
                    continue
                slot, source = (t - row[DELAY]) % (max_delay + 1), row[SOURCE]
                count[SYNOPS] += _deliver(
                    row, active[slot, offset[source] :], n_active[slot, source], weight, total, part
                )
            n_active[now, node] = update_neurons(
                codes,
                keep,
                first,
                u[first:last],
                v[first:last],
                total[:size],
                wraps_once,
                active[now, first:last],
                count,
            )
            if record[first] >= 0:
                column = record[first:last]
                for k in range(n_active[now, node]):
                    spikes_out[t, column[active[now, first + k]]] = 1
                _copy(v[first:last], column, v_out[t])
                _copy(u[first:last], column, u_out[t])


@njit(cache=True, nogil=True)
def _copy(values, column, out):  # type: ignore[no-untyped-def]
    """Copy a population's register into its columns of a row, if the row has any."""
    if len(out) > 0:
        for k in range(len(values)):
            out[column[k]] = values[k]


@njit(cache=True, nogil=True)
def _deliver(row, active, n_active, weight, total, part):  # type: ignore[no-untyped-def]
    """Add what one projection delivers, shifted by its exponent, to ``total``; return how many weights that were."""
    exponent = row[EXPONENT]
    into = total if exponent == 0 else part
    if exponent != 0:
        part[: row[N_OUT]] = 0
    if row[IS_CONV] == 1:
        delivered = deliver_conv(active, n_active, weight, row[WEIGHT_AT], row[GEOMETRY:], into)
    else:
        delivered = deliver_dense(active, n_active, weight, row[WEIGHT_AT], row[N_OUT], row[EIGHT_AT_ONCE] == 1, into)
    if exponent > 0:
        for j in range(row[N_OUT]):
            total[j] += np.int32(np.int64(part[j]) << exponent)
    elif exponent < 0:
        for j in range(row[N_OUT]):
            total[j] += part[j] >> -exponent
    return delivered


@njit(cache=True, nogil=True)
def _scan(x, t, first, last, active):  # type: ignore[no-untyped-def]
    """List the inputs that are 1 in row t; rows beyond the data are empty."""
    n = 0
    if t < len(x):
        row = x[t, first:last]
        for k in range(len(row)):
            active[n] = k
            n += row[k] != 0
    return n

"""The emulator's inner loops, compiled with numba; they equal :mod:`neurodeploy.backends.emulator.twin` bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurodeploy.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.backends.emulator.tables import DELAY, EXPONENT, GEOMETRY, IS_CONV, N_OUT, SOURCE, WEIGHT_AT

_FULL = 2**DECAY_BITS
_TURN = 2 * STATE_LIMIT

SPIKES, SYNOPS, ACTIVE, U_WRAPS, V_CLIPS = range(5)
"""Counters in the order of ``twin.COUNTERS``."""


@njit(cache=True, nogil=True, inline="always")
def _decay(state, code):  # type: ignore[no-untyped-def]
    """Return what a register keeps in one step; truncation towards zero."""
    if state >= 0:
        return (state * (_FULL - code)) >> DECAY_BITS
    return -((-state * (_FULL - code)) >> DECAY_BITS)


@njit(cache=True, nogil=True)
def deliver_dense(active, n_active, weight, start, n_out, total):  # type: ignore[no-untyped-def]
    """Add the weights of active sources to ``total``; return how many were delivered."""
    for k in range(n_active):
        at = start + active[k] * n_out
        row = weight[at : at + n_out]
        for j in range(n_out):
            total[j] += row[j]
    return n_active * n_out


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
def update_neurons(codes, first, u, v, a, wraps_once, fired, count):  # type: ignore[no-untyped-def]
    """Take one step of a population; return how many fired, their places in ``fired``.

    codes: the tables' rows, of all neurons. first: the population's first neuron. u, v, a: int32 views of the
        population.
    count: int64 (5,), added to.
    """
    n_fired = 0
    for k in range(len(u)):
        place = first + k
        bias = np.int64(codes[3, place])
        old_u, old_v = np.int64(u[k]), np.int64(v[k])
        if a[k] != 0 or old_u != 0 or old_v != 0 or bias != 0:
            count[ACTIVE] += 1
        current = _decay(old_u, np.int64(codes[0, place])) + np.int64(np.int32(np.int64(a[k]) << ALIGN_BITS))
        if wraps_once:
            current = np.int64(np.int32(current))
        if current > STATE_LIMIT or current <= -STATE_LIMIT:
            count[U_WRAPS] += 1
            if not wraps_once:
                current = (current + STATE_LIMIT - 1) % _TURN - STATE_LIMIT + 1
            elif current > STATE_LIMIT:
                current -= _TURN
            else:
                current += _TURN
        potential = _decay(old_v, np.int64(codes[1, place])) + current + bias
        if wraps_once:
            potential = np.int64(np.int32(potential))
        if potential >= STATE_LIMIT or potential <= -STATE_LIMIT:
            count[V_CLIPS] += 1
            potential = STATE_LIMIT - 1 if potential > 0 else -(STATE_LIMIT - 1)
        if potential > codes[2, place]:
            fired[n_fired] = k
            n_fired += 1
            potential = 0
        u[k] = np.int32(current)
        v[k] = np.int32(potential)
    count[SPIKES] += n_fired
    return n_fired


@njit(cache=True, nogil=True)
def run_sample(  # type: ignore[no-untyped-def]  # noqa: C901 - the whole step stands in one place
    tables, x, n_rows, wraps_once, record, spikes_out, v_out, u_out, counters
):
    """Run one sample.

    tables: see :class:`Tables`. x: uint8 (T, neurons of all inputs). n_rows: hardware steps.
    record: int64 (neurons,), column of each neuron in the outputs, or -1.
    spikes_out: uint8 (n_rows, columns). v_out, u_out: int32 (n_rows, columns) or of no columns.
    counters: int64 (n_rows, populations, 5).
    """
    n_inputs, offset, projections, into, weight, codes, max_delay = tables
    n_nodes, n_neurons = len(offset) - 1, offset[-1]
    u, v = codes[4].copy(), codes[5].copy()
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
                codes, first, u[first:last], v[first:last], total[:size], wraps_once, active[now, first:last], count
            )
            if record[first] >= 0:
                column = record[first]
                for k in range(n_active[now, node]):
                    spikes_out[t, column + active[now, first + k]] = 1
                if v_out.shape[1] > 0:
                    v_out[t, column : column + size] = v[first:last]
                if u_out.shape[1] > 0:
                    u_out[t, column : column + size] = u[first:last]


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
        delivered = deliver_dense(active, n_active, weight, row[WEIGHT_AT], row[N_OUT], into)
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
        for k in range(first, last):
            if x[t, k] != 0:
                active[n] = k - first
                n += 1
    return n


def compiled() -> bool:
    """Tell whether the kernel has been compiled, or loaded from disk, in this process."""
    signatures: Any = run_sample.signatures
    return bool(signatures)

"""The step of Loihi's neurons, compiled with numba: ``step.neuron`` for one sample, written in place.

The int32 registers wrap, as Lava's and the definition's do.
"""

from __future__ import annotations

import numpy as np

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.families.loihi.emulator.compiling import compiled, inlined
from neurodeploy.families.loihi.emulator.tables import (
    ACTIVE,
    ADAPTIVE,
    CLEARS,
    FLOOR,
    KEEPS_U,
    LOWERS,
    MAX_SPIKES,
    MEETS,
    REFRACTORY,
    RESET,
    SECOND,
    SUBTRACT,
    SUBTRACT_LATE,
    SUBTRACT_PENDING,
    TERNARY,
    U_WRAPS,
    V_CLIPS,
    ZERO,
    ZERO_LATE,
)

_TURN = np.int32(2 * STATE_LIMIT)
_LIMIT = np.int32(STATE_LIMIT)
_TOP = np.int32(STATE_LIMIT - 1)
_ALIGN = np.int32(ALIGN_BITS)
_DECAY = np.int32(DECAY_BITS)
_FRACTION = np.int32(2**DECAY_BITS - 1)


@inlined
def _decay(x, keep):  # type: ignore[no-untyped-def]
    """Return ``sign(x) * ((abs(x) * keep) >> 12)`` within 32 bits, the upper and the lower 12 bits of x apart."""
    size = abs(x)
    kept = (size >> _DECAY) * keep + (((size & _FRACTION) * keep) >> _DECAY)
    return kept if x >= 0 else -kept


@inlined
def _wrap(current, wraps_once):  # type: ignore[no-untyped-def]
    """Return u within (-2**23, 2**23]; see ``step.wrap``."""
    if wraps_once:
        return np.int32(current - (current > _LIMIT) * _TURN + (current <= -_LIMIT) * _TURN)
    return np.int32(((current + _TOP) & (_TURN - np.int32(1))) - _TOP)


@compiled
def update_plain(  # type: ignore[no-untyped-def]
    threshold, bias, keep_u, keep_v, u, v, a, keeps_u, wraps_once, counting, fired, count
):
    """Take one step of Loihi's own neurons.

    Args:
        threshold, bias, keep_u, keep_v: of the population, see ``Tables``.
        u, v: int32 (n,), register units, changed.
        a: int32 (n,), input in weight units.
        keeps_u: whether any keep_u is above 0; a current that nothing is kept of needs no decay.
        wraps_once: whether u wraps by one turn only, as Lava's does.
        counting: whether ``count`` is added to.
        fired: uint8 (n,), written.
        count: int64 (counters,); spikes are not counted here.
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
    """Take one step of programmable neurons; see ``step.neuron``.

    Args:
        model: row of the model table.
        extra: int32 (5, n), see ``Tables``.
        memory: int32 (4, n), what each neuron sent last, steps for which v is held, what the threshold is raised by,
            and the second current; changed.
        thresholds, biases, keep_u, keep_v: of the population, see ``Tables``.
        u, v, a, wraps_once, fired: as :func:`update_plain` takes them.
        payload: int32 (n,), what each neuron sends, written.
        count: int64 (counters,), added to; spikes are not counted here.
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
        v[k] = _after_reset(reset, potential_kept, sent, owed, threshold, raised)
        if model[FLOOR]:
            v[k] = max(v[k], extra[1, k])
        memory[0, k] = sent
        memory[1, k] = model[REFRACTORY] if sent != 0 else max(hold - 1, 0)
        if model[ADAPTIVE]:
            memory[2, k] = _adapted(adapted, sent, extra[2, k], extra[3, k])
        keeps = _keeps(model, sent, before)
        u[k], memory[3, k] = u[k] * keeps, second * keeps
        fired[k] = sent != 0
        payload[k] = sent


@inlined
def _after_reset(reset, potential, sent, owed, threshold, raised):  # type: ignore[no-untyped-def]
    """Return v after a reset in the spike's own step."""
    if reset == SUBTRACT_PENDING:
        return min(np.int32(potential - (sent - owed) * threshold), _TOP)
    if sent != 0 and reset == ZERO:
        return np.int32(0)
    if sent != 0 and reset == SUBTRACT:
        return np.int32(potential - sent * (threshold + raised))
    return potential


@inlined
def _adapted(adapted, sent, keep, rise):  # type: ignore[no-untyped-def]
    """Return the adaptation after a step: what is kept of it, and a rise for each spike, clipped."""
    grown = np.int64(_decay(adapted, keep)) + np.int64(sent) * rise
    return np.int32(max(min(grown, STATE_LIMIT - 1), 1 - STATE_LIMIT))


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

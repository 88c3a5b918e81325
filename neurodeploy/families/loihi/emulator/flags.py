"""Turn flags into lists of places, the form in which spikes travel, and lists back into flags."""

from __future__ import annotations

import numpy as np

from neurodeploy.families.loihi.emulator.compiling import inlined

_ONE, _DE_BRUIJN = np.uint64(1), np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, np.int32)
"""Place in a block of 64 flags of each bit that ``compress`` finds: bit 8 * b + i is byte b of word i."""
for _bit in range(64):
    _PLACE[((int(_DE_BRUIJN) << _bit) % 2**64) >> 58] = 8 * (_bit % 8) + _bit // 8


@inlined
def compress(flags, active):  # type: ignore[no-untyped-def]
    """Compress flags to indices: list the places of ones in ``active``; return how many there are.

    **The order of the list is arbitrary.** Sums that wrap come out the same in any order; a family whose sums saturate
    after each term (Xylo) must not take its spikes from here.

    Eight words of eight flags (bytes of 0 or 1) are folded into one, so that a loop turns once for each spike instead
    of once for each flag::

        word 0    .......a .......b ... .......h      flags 0 to 7, in the lowest bit of each byte
        word 1    .......i .......j ... .......p      flags 8 to 15, moved up by one bit
        ...
        word 7    .......s .......t ... .......z      flags 56 to 63, moved up by seven bits
        bits      s.....ia t.....jb ... z.....ph      bit 8 * b + i is byte b of word i, flag 8 * i + b

    The lowest bit that is set, ``bits & -bits``, is a power of two; times the de Bruijn sequence, its upper six bits
    are different for each of the 64 powers and look the flag up in ``_PLACE``.

    Args:
        flags: uint8 (n,), 0 or 1; n is a multiple of 64.
        active: int32 (n,), written.

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


@inlined
def mark(places, n, column, out):  # type: ignore[no-untyped-def]
    """Set the columns of the ``n`` listed to 1, if the row has any.

    Args:
        places: int32, of which the first ``n`` count.
        n: how many.
        column: int64, column of each place in ``out``.
        out: uint8 (columns,), written; nothing is where it has none.
    """
    for k in range(n if len(out) > 0 else 0):
        out[column[places[k]]] = 1


@inlined
def gather(values, places, n, out):  # type: ignore[no-untyped-def]
    """List the values at the places; return the sum of their sizes.

    Args:
        values: int32, one for each place.
        places: int32, of which the first ``n`` count.
        n: how many.
        out: int32, of which the first ``n`` are written.
    """
    size = 0
    for k in range(n):
        out[k] = values[places[k]]
        size += abs(out[k])
    return size

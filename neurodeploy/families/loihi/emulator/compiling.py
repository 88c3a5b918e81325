"""Decorators that compile the emulator's loops with numba, and the rule for when what was compiled is out of date."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numba import njit

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT

_SOURCES = ("compiling.py", "delivery.py", "flags.py", "kernels.py", "neuron_step.py", "tables.py")
"""Files of this folder whose text becomes part of a compiled loop, as functions that it calls or as constants."""

_LOOPS: Any = {"cache": True, "nogil": True, "_nrt": False}
"""Without reference counts, which each slice pays for twice: nothing but ``run_sample`` makes arrays."""


def entry(function: Any) -> Any:
    """Compile a function that Python calls and that makes arrays."""
    return _kept_until_edited(njit(cache=True, nogil=True)(function))


def compiled(function: Any) -> Any:
    """Compile a function that other loops call."""
    return _kept_until_edited(njit(**_LOOPS)(function))


def inlined(function: Any) -> Any:
    """Compile a function into each of those that call it."""
    return _kept_until_edited(njit(inline="always", **_LOOPS)(function))


def _kept_until_edited(loop: Any) -> Any:
    """Return a loop whose cached code counts until any source changes; numba looks at the loop's own file only.

    The place of the stamp is numba's own affair. Where it has moved, numba's rule stands, which is right for all who do
    not edit these files.
    """
    cached = getattr(getattr(loop, "_cache", None), "_cache_file", None)
    if cached is not None and hasattr(cached, "_source_stamp"):
        cached._source_stamp = _STAMP
    return loop


def _stamp() -> str:
    """Return a digest of all that compiled loops are made of."""
    digest = hashlib.sha256(repr((ALIGN_BITS, DECAY_BITS, STATE_LIMIT)).encode())
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


_STAMP = _stamp()

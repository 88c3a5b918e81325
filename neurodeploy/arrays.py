"""Read-only arrays: what every dataclass of the pipeline holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def frozen_array(values: ArrayLike, dtype: DTypeLike, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Return ``values`` as a contiguous, read-only array.

    Args:
        values: anything array-like.
        dtype: dtype of the result.
        shape: broadcast to this shape, if given.

    Returns:
        An array that cannot be written to; ``values`` is unchanged.

    Raises:
        ValueError: ``values`` cannot be broadcast to ``shape``.
    """
    array = np.asarray(values, dtype=dtype)
    if shape is not None:
        array = np.broadcast_to(array, shape)
    if array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, dtype=dtype, order="C", copy=True)
        array.flags.writeable = False
    return array


def finite(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and bool(np.isfinite(value))

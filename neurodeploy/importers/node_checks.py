"""Checks of a NIR node's parameters: what cannot be computed with is refused by name."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from neurodeploy.budget import MAX_NEURONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.texts import as_text, is_text

_TIME_CONSTANTS = ("tau", "tau_mem", "tau_syn")
_MAY_BE_INFINITE = (*_TIME_CONSTANTS, "r", "w_in")
_THRESHOLDS = ("v_threshold", "threshold")
"""An infinite one stands for neurons that do not fire, and whose v is read."""

MAX_AXES = 32
"""Of an array in a file; NumPy has some more."""

_PORT_TYPES = ("input_type", "output_type")
"""What nir itself notes of a node's shapes, which nobody reads."""

_OPERATIONS = ("Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten")
"""Nodes whose parameters differ in shape; those of all others are of neurons, or broadcast to them."""

_WHOLE = {
    "stride": 1, "dilation": 1, "groups": 1, "kernel_size": 1, "padding": 0, "start_dim": -MAX_AXES,
    "end_dim": -MAX_AXES,
}  # fmt: skip
"""Parameters that are one or two whole numbers, and the least that they can be."""


def check_parameters(kind: str, name: str, params: dict[str, Any], place: str) -> None:
    """Refuse a node's parameters that cannot be computed with.

    Args:
        kind: NIR's type. name: of the node. params: by NIR's names, as stored. place: the node, for messages.

    Raises:
        DeployError: the first of them.
    """
    for key, value in params.items():
        _check_parameter(kind, name, key, value, place)
    if kind not in _OPERATIONS:
        _check_shapes(f"{kind} {name!r}", params, place)


def _check_shapes(node: str, params: dict[str, Any], place: str) -> None:
    """Refuse neurons whose parameters have shapes that are not those of one population."""
    shapes = {key: np.shape(value) for key, value in params.items() if value is not None and key not in _PORT_TYPES}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        said = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
        raise DeployError(
            f"{node} has parameters whose shapes do not fit each other: {said}",
            where=place,
            fix="Give each the neurons' shape, or one value.",
        ) from error


def _check_parameter(kind: str, name: str, key: str, value: Any, place: str) -> None:
    """Refuse a parameter that cannot be computed with."""
    node = f"{kind} {name!r}"
    if value is None or key in _PORT_TYPES:
        return
    if key == "padding" and kind.startswith("Conv") and is_text(value) and as_text(value) in ("same", "valid"):
        return
    array = None if isinstance(value, dict) or is_text(value) else np.asarray(value)
    if array is None or array.dtype.kind not in "fiub":
        found = "group" if isinstance(value, dict) else "text" if array is None else str(array.dtype)
        raise DeployError(
            f"{node} has {key} of type {found}; a parameter must be numbers", where=place, fix="Export the model again."
        )
    if array.ndim > MAX_AXES:
        raise DeployError(
            f"{node} has {key} of {array.ndim} axes; at most {MAX_AXES} are read",
            where=place,
            fix="Export the model again, with fewer axes.",
        )
    if not array.size:
        raise DeployError(f"{node} has {key} without a value", where=place, fix="Export the model again.")
    if key in _WHOLE and kind in _OPERATIONS:
        _check_whole(node, key, array, place)
    elif key == "shape":
        _check_shape(node, key, array, place)
    else:
        _check_numbers(node, key, array, place)


def _check_numbers(node: str, key: str, array: Any, place: str) -> None:
    bad = np.isnan(array) if key in _MAY_BE_INFINITE else ~np.isfinite(array)
    if key in _THRESHOLDS:
        bad &= ~np.isposinf(array)
    if bad.any():
        raise DeployError(
            f"{node} has {int(bad.sum())} of {array.size} values of {key} that are NaN or infinite",
            where=place,
            fix="Train or export the model again; with such values a network computes nothing of use.",
        )
    if key in _TIME_CONSTANTS and not array.all():
        raise DeployError(
            f"{node} has {int((array == 0).sum())} of {array.size} values of {key} that are 0",
            where=place,
            fix="Use time constants above 0; for a state that keeps nothing from step to step, use one time step.",
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        _check_magnitude(node, key, array, place)


def _check_magnitude(node: str, key: str, array: Any, place: str) -> None:
    """Refuse what would be infinite in float32, in which networks run."""
    finite = array[np.isfinite(array)]
    largest = float(np.abs(finite).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        raise DeployError(
            f"{node} has {key} of {largest:g}, which float32 cannot hold",
            where=place,
            fix="Scale the parameter down; networks run in float32.",
        )


def _check_whole(node: str, key: str, array: Any, place: str) -> None:
    if array.size > 2 or (array != np.rint(array)).any() or (array < _WHOLE[key]).any() or (array > 2**31 - 1).any():
        raise DeployError(
            f"{node} has {key} of {_brief(array)}; it must be one or two whole numbers, {_WHOLE[key]} or more",
            where=place,
            fix="Correct the parameter, and export the model again.",
        )


def _check_shape(node: str, key: str, array: Any, place: str) -> None:
    is_whole = array.ndim <= 1 and array.size <= MAX_AXES and np.isfinite(array).all()
    if not is_whole or (array != np.rint(array)).any() or (array < 1).any():
        raise DeployError(
            f"{node} has {key} {_brief(array)}; a shape must be whole numbers of at least 1",
            where=place,
            fix="Correct the shape, and export the model again.",
        )
    MAX_NEURONS.check(prod(int(n) for n in np.atleast_1d(array)), f"{node} of shape {_brief(array)}", place)


def _brief(array: Any) -> str:
    return np.array2string(array, threshold=8)

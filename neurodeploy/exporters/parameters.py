"""Trained values as NIR parameters: by neuron, in float64, so that the reader gets back the same float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.files import to_json
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.ir.synapses import Shape

HUGE_STEPS = 2.0**40
"""A time constant of so many steps decays by less than float32 can see, and is exact to divide by."""

THRESHOLDS = ("threshold", "v_th", "v_threshold", "spike_threshold")
"""What frameworks call a threshold; an infinite one stands for neurons that do not fire, and whose v is read."""

_TINY_STEPS = 2.0**-8  # exp(-256) is 0 in float32


def by_neuron(name: str, key: str, values: Any, shape: Shape) -> NDArray[np.float64]:
    """Return a parameter as float64 of the neurons' shape.

    Args:
        name: of the neurons. key: of the parameter. values: a tensor, array or number. shape: of the neurons.

    Raises:
        DeployError: it is not finite, or has neither one value nor one for each neuron.
    """
    array = np.asarray(values.detach() if hasattr(values, "detach") else values, dtype=np.float64)
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    finite = np.isfinite(array)
    if key in THRESHOLDS:
        finite |= np.isposinf(array)
    if not finite.all():
        raise DeployError(
            f"{key} holds NaN or infinite values",
            where=name,
            fix="Train again; with such values a neuron computes nothing of use.",
        )
    try:
        return np.array(np.broadcast_to(array, shape))
    except ValueError as error:
        raise DeployError(
            f"{key} of shape {list(array.shape)} does not fit neurons of shape {list(shape)}",
            where=name,
            fix="Give one value, or one for each neuron.",
        ) from error


def compact(values: NDArray[np.floating]) -> Any:
    """Return floats of any shape for metadata: one number if all are alike, else nested lists without alike axes."""
    array = np.asarray(values, dtype=np.float64)
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if (array == first).all():
            array = first
    return float(array.flat[0]) if array.size == 1 else array.tolist()


def euler_tau(decay: NDArray[np.float32], dt: float) -> NDArray[np.float64]:
    """Return tau (s), of any shape, such that float32(1 - dt / tau) is ``decay``, which is from 0 to 1."""
    exact = decay.astype(np.float64)
    tau = np.where(exact == 1, dt * HUGE_STEPS, dt / np.where(exact == 1, 1.0, 1 - exact))
    for candidate in (np.nextafter(tau, 0), np.nextafter(tau, np.inf)):
        wrong = (1 - dt / tau).astype(np.float32) != decay
        tau = np.where(wrong, candidate, tau)
    return tau


def exp_tau(decay: NDArray[np.float32], dt: float) -> NDArray[np.float64]:
    """Return tau (s), of any shape, such that float32(exp(-dt / tau)) is ``decay``, which is from 0 to 1."""
    exact = decay.astype(np.float64)
    inside = (exact > 0) & (exact < 1)
    tau = -dt / np.log(np.where(inside, exact, 0.5))
    return np.where(inside, tau, np.where(exact == 1, dt * HUGE_STEPS, dt * _TINY_STEPS))


def decay_of(name: str, key: str, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return decay factors as float32.

    Args:
        name: of the neurons. key: of the parameter. values: float64, any shape.

    Raises:
        DeployError: one is outside 0 to 1.
    """
    if (values < 0).any() or (values > 1).any():
        raise DeployError(
            f"{key} makes the state decay by a factor of {values.min():g} to {values.max():g} in a step",
            where=name,
            fix="Use time constants of at least one step, so that factors are from 0 to 1.",
        )
    return values.astype(np.float32)


def rules_metadata(rules: dict[str, Any]) -> dict[str, str]:
    """Return what NIR has no word for as the metadata of a neuron's node."""
    return {METADATA_KEY: to_json({"rules": rules})}
